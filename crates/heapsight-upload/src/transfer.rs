//! One attempt to bring a file to a store: look whether it is there, send what is missing, and verify.
//!
//! A large file goes up in parts, and each that is there is written down, so that the next attempt, of this process or of
//! another one, sends only the others. A folder is written under another name and renamed when whole.

use std::{cell::Cell, fs, io, path::Path as FsPath, sync::Arc};

use futures_util::{StreamExt, stream};
use object_store::{ObjectMeta, ObjectStoreExt, PutOptions, PutPayload, multipart::PartId, path::Path};

use crate::{
    entry::{Entry, Multipart},
    error::{Kind, Result, UploadError, may_be_forgotten},
    local::{Identity, LocalFile},
    store::{Parts, Remote},
    verify::{Proof, Unknown, Verification, prove},
};

/// Stores take no more parts than this.
const MOST_PARTS: u64 = 10_000;

/// Parts are whole numbers of these.
const STEP: u64 = 1 << 20;

/// How to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// Bytes of a part, if the file is not too large for that.
    pub(crate) part_size: u64,
    /// Parts under way at once.
    pub(crate) parallel: usize,
    pub(crate) verification: Verification,
}

/// Who is told how it goes.
pub(crate) trait Watch {
    /// The entry has changed, and should be kept.
    fn save(&self, entry: &Entry);
    /// So many bytes of the file are there.
    fn sent(&self, bytes: u64);
}

/// What an attempt has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) proof: Proof,
    /// It was there already.
    pub(crate) found: bool,
}

/// One attempt; `entry` has what the next one needs to know.
pub(crate) async fn deliver(
    remote: &Remote,
    url: &str,
    entry: &mut Entry,
    how: How,
    watch: &dyn Watch,
) -> Result<Delivered> {
    let shown = entry.path.display();
    let what = format!("cannot upload {shown} to {url}");
    let unverified = format!("cannot verify {url}, the copy of {shown}");
    let file = LocalFile::open(&entry.path).map_err(|error| UploadError::local(&what, &error))?;
    let attempt = Attempt {
        remote,
        place: remote.place(&entry.name),
        part_size: part_size(file.size(), how.part_size),
        file: Arc::new(file),
        how,
        what,
        unverified,
        watch,
    };
    attempt.run(entry).await
}

/// Bytes of a part of a file, so that there are not too many.
fn part_size(size: u64, wanted: u64) -> u64 {
    let least = size.div_ceil(MOST_PARTS);
    if least <= wanted { wanted } else { least.next_multiple_of(STEP) }
}

struct Attempt<'a> {
    remote: &'a Remote,
    place: Path,
    part_size: u64,
    file: Arc<LocalFile>,
    how: How,
    /// What has failed, if something does.
    what: String,
    unverified: String,
    watch: &'a dyn Watch,
}

impl Attempt<'_> {
    async fn run(&self, entry: &mut Entry) -> Result<Delivered> {
        let Self { remote, place, file, .. } = self;
        if file.identity() != entry.identity {
            self.forget(entry).await;
            entry.begin_anew(file.identity());
            self.watch.save(entry);
        }
        match remote.store.head(place).await {
            Ok(there) => {
                if let Some(proof) = self.check(&there).await? {
                    self.forget(entry).await;
                    return Ok(Delivered { proof, found: true });
                }
                if !entry.begun && !entry.overwrite {
                    let why = "there is another object of that name";
                    return Err(UploadError::new(Kind::Conflict, &self.what, why)
                        .hint("use another prefix, or --force to overwrite it"));
                }
            }
            // Who may write but not list is told this, too, of what is not there.
            Err(
                object_store::Error::NotFound { .. }
                | object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. },
            ) => {}
            Err(error) => return Err(self.store(&error)),
        }
        if let Some(folder) = &remote.folder {
            self.send_to_folder(folder, entry).await?;
        } else {
            match remote.parts.as_ref().filter(|_| file.size() > self.part_size) {
                None => self.send_whole(entry).await?,
                Some(store) => self.send_parts(store, entry).await?,
            }
        }
        let there = remote.store.head(place).await;
        let there = there.map_err(|error| UploadError::store(&self.unverified, &error))?;
        match self.check(&there).await? {
            Some(proof) => Ok(Delivered { proof, found: false }),
            None if Identity::at(&entry.path).ok() != Some(file.identity()) => {
                Err(UploadError::new(Kind::Differs, &self.what, "the file has changed meanwhile"))
            }
            None => {
                let why = "what is there afterwards is not what was sent";
                Err(UploadError::new(Kind::Differs, &self.what, why))
            }
        }
    }

    async fn check(&self, there: &ObjectMeta) -> Result<Option<Proof>> {
        let Self { remote, place, file, part_size, how, .. } = self;
        let proof = prove(&remote.store, place, there, file, *part_size, how.verification).await;
        proof.map_err(|error| match error {
            Unknown::Store(error) => UploadError::store(&self.unverified, &error),
            Unknown::Local(error) => self.local(&error),
        })
    }

    fn local(&self, error: &io::Error) -> UploadError {
        UploadError::local(&self.what, error)
    }

    fn store(&self, error: &object_store::Error) -> UploadError {
        let told = UploadError::store(&self.what, error);
        match self.remote.nameless {
            Some(hint) if told.hint.is_none() || told.kind == Kind::Permission => told.hint(hint),
            _ => told,
        }
    }

    /// Gives up an upload in parts that is under way. What the store still has of it after this, the store removes.
    async fn forget(&self, entry: &mut Entry) {
        if let (Some(multipart), Some(store)) = (entry.multipart.take(), &self.remote.parts) {
            let _ = store.abort_multipart(&self.place, &multipart.id).await;
        }
    }

    /// From now on what is there may be ours.
    fn begin(&self, entry: &mut Entry) {
        if !entry.begun {
            entry.begun = true;
            self.watch.save(entry);
        }
    }

    async fn send_whole(&self, entry: &mut Entry) -> Result<()> {
        self.begin(entry);
        let size = self.file.size();
        let bytes = self.file.read(0, size).map_err(|error| self.local(&error))?;
        let put = self.remote.store.put_opts(&self.place, PutPayload::from(bytes), PutOptions::default());
        put.await.map_err(|error| self.store(&error))?;
        self.watch.sent(size);
        Ok(())
    }

    async fn send_parts(&self, store: &Arc<dyn Parts>, entry: &mut Entry) -> Result<()> {
        let Self { place, file, part_size, .. } = self;
        let (size, part_size) = (file.size(), *part_size);
        let count = size.div_ceil(part_size) as usize;
        let fits = |under_way: &Multipart| under_way.part_size == part_size && under_way.parts.len() == count;
        let resumed = entry.multipart.as_ref().is_some_and(fits);
        if !resumed {
            self.begin(entry);
            let id = store.create_multipart(place).await.map_err(|error| self.store(&error))?;
            entry.multipart = Some(Multipart { id, part_size, parts: vec![None; count] });
            self.watch.save(entry);
        }
        let Some(Multipart { id, parts, .. }) = entry.multipart.clone() else { return Ok(()) };
        self.watch.sent(entry.sent());
        let missing = (0..count).filter(|&part| parts[part].is_none());
        let failed = Cell::new(false);
        // After a failure no further part is begun, but those under way are waited for: what is there is there.
        let missing = stream::iter(missing).take_while(|_| std::future::ready(!failed.get()));
        let sends = missing.map(|part| {
            let (id, start) = (&id, part as u64 * part_size);
            async move {
                let bytes = file.read(start, part_size.min(size - start)).map_err(Error::Local)?;
                let sent =
                    store.put_part(place, id, part, PutPayload::from(bytes)).await.map_err(Error::Store)?;
                Ok((part, sent.content_id))
            }
        });
        let mut sends = std::pin::pin!(sends.buffer_unordered(self.how.parallel.max(1)));
        let (mut first, mut accepted) = (None, false);
        while let Some(sent) = sends.next().await {
            match sent {
                Ok((part, content)) => {
                    accepted = true;
                    if let Some(multipart) = &mut entry.multipart {
                        multipart.parts[part] = Some(content);
                    }
                    self.watch.save(entry);
                    self.watch.sent(entry.sent());
                }
                Err(error) => {
                    failed.set(true);
                    first.get_or_insert(error);
                }
            }
        }
        let parts = entry.multipart.iter().flat_map(|multipart| &multipart.parts);
        let parts: Option<Vec<_>> = parts.map(|part| Some(PartId { content_id: part.clone()? })).collect();
        let error = match (first, parts) {
            (None, Some(parts)) => match store.complete_multipart(place, &id, parts).await {
                Ok(_) => {
                    // Nothing of it is left to resume; the next attempt, if there is one, finds the object.
                    entry.multipart = None;
                    return Ok(());
                }
                Err(error) => Error::Store(error),
            },
            (Some(error), _) => error,
            (None, None) => Error::Local(io::Error::other("parts are missing")),
        };
        match error {
            Error::Local(error) => Err(self.local(&error)),
            Error::Store(error) => {
                let mut told = self.store(&error);
                if may_be_forgotten(&error) && (resumed || accepted) {
                    // The next attempt begins anew; if that was not it, it fails in the same way, and says so.
                    entry.multipart = None;
                    self.watch.save(entry);
                    told.kind = Kind::Passing;
                }
                Err(told)
            }
        }
    }

    async fn send_to_folder(&self, folder: &FsPath, entry: &mut Entry) -> Result<()> {
        let target = folder.join(self.place.as_ref());
        if entry.begun {
            // What a process was writing when it was killed.
            for half in staged(&target) {
                let _ = fs::remove_file(half);
            }
        }
        self.begin(entry);
        let size = self.file.size();
        let mut upload =
            self.remote.store.put_multipart(&self.place).await.map_err(|error| self.store(&error))?;
        #[cfg(unix)]
        for half in staged(&target) {
            // Captures hold secrets. Nothing is in it yet.
            let private = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
            fs::set_permissions(half, private).map_err(|error| self.local(&error))?;
        }
        let mut start = 0;
        while start < size {
            let length = self.part_size.min(size - start);
            let bytes = self.file.read(start, length).map_err(|error| self.local(&error))?;
            if let Err(error) = upload.put_part(PutPayload::from(bytes)).await {
                let _ = upload.abort().await;
                return Err(self.store(&error));
            }
            start += length;
            self.watch.sent(start);
        }
        upload.complete().await.map_err(|error| self.store(&error))?;
        Ok(())
    }
}

enum Error {
    Local(io::Error),
    Store(object_store::Error),
}

/// The files that the store writes before it renames one to the target: `NAME#1` and so on.
fn staged(target: &FsPath) -> Vec<std::path::PathBuf> {
    let Some((folder, name)) = target.parent().zip(target.file_name()) else { return Vec::new() };
    let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
    let name = name.to_string_lossy();
    let is_staged = |file: &fs::DirEntry| {
        let own = file.file_name();
        let number = own.to_str().and_then(|own| own.strip_prefix(&*name)?.strip_prefix('#'));
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    files.flatten().filter(is_staged).map(|file| file.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_no_more_parts_than_stores_take() {
        assert_eq!(part_size(0, 8 << 20), 8 << 20);
        assert_eq!(part_size(80 << 30, 8 << 20), 9 << 20);
        let largest = 5 << 40;
        let size = part_size(largest, 8 << 20);
        assert!(largest.div_ceil(size) <= MOST_PARTS && size.is_multiple_of(STEP), "{size}");
    }
}

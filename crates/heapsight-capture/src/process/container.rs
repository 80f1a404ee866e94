//! In which container a process is, if it is in another than we are: by the path of its control group, by markers in its
//! file system, and by its host name.

use std::{fs::File, io::Read as _};

use super::{namespaces, procfs};
use crate::error::Result;

/// A container as far as it can be told from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Who runs it: `docker`, `containerd`, `cri-o`, `podman`, `lxc`, `nspawn`, or `container` where that is not told.
    pub engine: &'static str,
    /// Its id, as long as it is known (64 hexadecimal digits of Docker, containerd, CRI-O and Podman).
    pub id: Option<String>,
    /// Its host name: the pod's name in Kubernetes, the first 12 digits of the id in Docker.
    pub name: Option<String>,
    /// The UID of its pod in Kubernetes.
    pub pod: Option<String>,
}

impl Container {
    /// What a person calls it: engine and the shortest usable name.
    pub fn label(&self) -> String {
        let id = self.id.as_deref().map(|id| id.get(..12).unwrap_or(id));
        match self.name.as_deref().or(id) {
            Some(name) => format!("{}:{name}", self.engine),
            None => self.engine.to_owned(),
        }
    }
}

/// The container that a process is in; `None` where it shares our file system and process ids, or is in none.
///
/// # Errors
/// [`Kind::NotFound`](crate::Kind::NotFound) where there is no such process.
pub fn container(pid: u32) -> Result<Option<Container>> {
    let groups = procfs::text(pid, "cgroup")?;
    let elsewhere = apart(pid, "ns/mnt") || apart(pid, "ns/pid");
    let mut found = groups.lines().find_map(|line| parse(line.splitn(3, ':').nth(2)?));
    if !elsewhere {
        // Heapsight in the same container, or a service whose group merely looks like one.
        return Ok(None);
    }
    if found.is_none() {
        // What we have ourselves says that both are in one container, not in which the other is.
        let marked = |path| exists_inside(pid, path) && !exists_inside(std::process::id(), path);
        let engine = if marked(".dockerenv") {
            Some("docker")
        } else if marked("run/.containerenv") {
            Some("podman")
        } else if apart(pid, "ns/pid") {
            Some("container")
        } else {
            // A mount namespace alone is a sandbox of systemd, a snap, or the like.
            None
        };
        found = engine.map(|engine| Container { engine, id: None, name: None, pod: None });
    }
    Ok(found.map(|mut container| {
        if container.name.is_none() && apart(pid, "ns/uts") {
            container.name = host_name(pid);
        }
        container
    }))
}

/// Whether a namespace is known to be another than ours.
fn apart(pid: u32, file: &str) -> bool {
    procfs::link(pid, file).is_ok() && !namespaces::same(pid, file)
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What the path of a control group says.
fn parse(path: &str) -> Option<Container> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != "..").collect();
    let pod = parts.iter().find_map(|part| pod_uid(part));
    for (at, part) in parts.iter().enumerate().rev() {
        let name = part.strip_suffix(".scope").unwrap_or(part);
        let engines = [
            ("docker-", "docker"),
            ("cri-containerd-", "containerd"),
            ("containerd-", "containerd"),
            ("crio-", "cri-o"),
            ("libpod-", "podman"),
        ];
        for (prefix, engine) in engines {
            if let Some(id) = name.strip_prefix(prefix)
                && is_id(id)
            {
                return Some(Container { engine, id: Some(id.to_owned()), name: None, pod });
            }
        }
        if is_id(name) {
            let above = at.checked_sub(1).and_then(|above| parts.get(above)).copied().unwrap_or_default();
            let engine = match above {
                "docker" => "docker",
                "libpod_parent" => "podman",
                _ if pod.is_some() => "containerd",
                _ => "container",
            };
            return Some(Container { engine, id: Some(name.to_owned()), name: None, pod });
        }
        if let Some(name) = name.strip_prefix("machine-") {
            let name = name.replace("\\x2d", "-");
            return Some(Container { engine: "nspawn", id: None, name: Some(name), pod });
        }
        let lxc = name.strip_prefix("lxc.payload.").or_else(|| {
            (at.checked_sub(1).and_then(|above| parts.get(above)) == Some(&"lxc")).then_some(name)
        });
        if let Some(name) = lxc {
            return Some(Container { engine: "lxc", id: None, name: Some(name.to_owned()), pod });
        }
    }
    None
}

/// The UID of a pod from `pod<uid>` or `kubepods-burstable-pod<uid with underscores>.slice`.
fn pod_uid(part: &str) -> Option<String> {
    let name = part.strip_suffix(".slice").unwrap_or(part);
    let uid = match name.strip_prefix("kubepods") {
        Some(rest) => rest.rsplit_once("-pod")?.1,
        None => name.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    // UIDs of mirror pods are 32 digits without hyphens.
    (uid.len() >= 32 && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')).then_some(uid)
}

fn exists_inside(pid: u32, path: &str) -> bool {
    procfs::open_inside(pid, path).is_ok()
}

/// The host name that a container's engine has given it.
fn host_name(pid: u32) -> Option<String> {
    let mut text = String::new();
    let file: File = procfs::open_inside(pid, "etc/hostname").ok()?;
    file.take(256).read_to_string(&mut text).ok()?;
    let name = text.trim();
    let sound = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    sound.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "a2830d0d-b0f0-4ff0-81b5-0d9aa0b3b5c1";

    fn engine_of(path: &str) -> Option<(&'static str, bool, bool)> {
        parse(path).map(|c| (c.engine, c.id.as_deref() == Some(ID), c.pod.as_deref() == Some(UID)))
    }

    #[test]
    fn paths_of_all_engines() {
        let uid = UID.replace('-', "_");
        for (path, expected) in [
            (format!("/docker/{ID}"), ("docker", true, false)),
            (format!("/system.slice/docker-{ID}.scope"), ("docker", true, false)),
            (format!("/../../docker-{ID}.scope/init"), ("docker", true, false)),
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice/cri-containerd-{ID}.scope"
                ),
                ("containerd", true, true),
            ),
            (format!("/kubepods.slice/kubepods-pod{uid}.slice/crio-{ID}.scope"), ("cri-o", true, true)),
            (format!("/kubepods/besteffort/pod{UID}/{ID}"), ("containerd", true, true)),
            (format!("/machine.slice/libpod-{ID}.scope/container"), ("podman", true, false)),
            (format!("/ecs/task-id/{ID}"), ("container", true, false)),
            ("/lxc/web".to_owned(), ("lxc", false, false)),
            ("/lxc.payload.web/system.slice/x.service".to_owned(), ("lxc", false, false)),
            ("/machine.slice/machine-deb\\x2d12.scope/payload".to_owned(), ("nspawn", false, false)),
        ] {
            assert_eq!(engine_of(&path), Some(expected), "{path}");
        }
        for path in [
            "/",
            "",
            "/user.slice/user-1000.slice/session-1.scope",
            "/system.slice/docker.service",
            "/podman",
            "/podx",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }

    #[test]
    fn labels_are_short() {
        let mut container = parse(&format!("/docker/{ID}")).unwrap();
        assert_eq!(container.label(), "docker:0123456789ab");
        container.name = Some("web-1".to_owned());
        assert_eq!(container.label(), "docker:web-1");
    }

    #[test]
    fn this_process_is_in_no_other_container() {
        assert_eq!(container(std::process::id()).unwrap(), None);
        assert!(container(u32::MAX).is_err());
    }
}

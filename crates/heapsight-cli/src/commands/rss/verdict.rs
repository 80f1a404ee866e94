//! What a process' memory is mostly spent on, and what to try.
//!
//! The parts of the resident memory are exact, as far as the kernel tells mappings apart. Buffers are told by V8, which
//! counts what they hold and not what is resident of it; what the allocator has in use beyond them is native memory.

use heapsight_capture::{inspector::IsolateMemory, process::memory::Memory};
use heapsight_report::units::{bytes, count, percent};

/// Below this nothing is worth a word.
const LEAST: u64 = 64 << 20;

/// From this part of the resident memory on, something is the cause of it.
const SHARE: f64 = 0.35;

/// Fragmentation is noticed sooner: it should not be there at all.
const FREE_SHARE: f64 = 0.2;

/// All that is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// The process' mappings; `None` where it is on another machine.
    pub(super) memory: Option<Memory>,
    /// The isolates, the main thread first, by number of their thread; empty without the inspector.
    pub(super) isolates: Vec<(u32, IsolateMemory)>,
}

impl Facts {
    fn sum(&self, of: impl Fn(&IsolateMemory) -> u64) -> u64 {
        self.isolates.iter().fold(0, |sum, (_, isolate)| sum.saturating_add(of(isolate)))
    }

    /// Resident memory.
    pub(super) fn rss(&self) -> u64 {
        let told = self.isolates.first().map_or(0, |(_, isolate)| isolate.rss);
        self.memory.as_ref().map_or(told, |memory| memory.rss)
    }

    /// Resident bytes of V8's heaps.
    pub(super) fn heap(&self) -> u64 {
        let told = self.sum(physical);
        self.memory.as_ref().map_or(told, |memory| memory.js_heap.max(told.min(memory.rss)))
    }

    /// What buffers and other holders of external memory hold; `None` without the inspector.
    pub(super) fn external(&self) -> Option<u64> {
        (!self.isolates.is_empty()).then(|| self.sum(|isolate| isolate.external.max(isolate.array_buffers)))
    }

    /// Bytes that the allocator has and nobody uses.
    pub(super) fn free(&self) -> Option<u64> {
        let memory = self.memory.as_ref()?;
        Some(memory.arenas.saturating_sub(memory.arenas_in_use?))
    }

    /// What the allocator has in use, buffers included.
    fn in_use(&self) -> Option<u64> {
        let memory = self.memory.as_ref()?;
        Some(memory.arenas_in_use.unwrap_or(memory.arenas) + memory.large_blocks)
    }

    /// What the allocator has in use that no buffer holds.
    pub(super) fn native(&self) -> Option<u64> {
        let known = self.external()?.saturating_add(self.sum(|isolate| isolate.malloced));
        Some(self.in_use()?.saturating_sub(known))
    }

    /// Resident bytes of the heaps of workers, as V8 says.
    fn in_workers(&self) -> u64 {
        self.isolates.iter().skip(1).fold(0, |sum, (_, isolate)| sum.saturating_add(physical(isolate)))
    }
}

/// Resident bytes of an isolate's heap.
pub(super) fn physical(isolate: &IsolateMemory) -> u64 {
    isolate.spaces.iter().map(|space| space.physical).sum::<u64>().max(isolate.used.min(isolate.total))
}

/// What it mostly is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    JsHeap,
    Workers,
    Buffers,
    /// Native memory, or buffers: it cannot be told without the inspector.
    BuffersOrNative,
    Native,
    Fragmentation,
    Nothing,
}

impl Cause {
    /// For programs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::JsHeap => "js_heap",
            Self::Workers => "workers",
            Self::Buffers => "buffers",
            Self::BuffersOrNative => "buffers_or_native",
            Self::Native => "native",
            Self::Fragmentation => "fragmentation",
            Self::Nothing => "nothing",
        }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) cause: Cause,
    /// Bytes of the cause.
    pub(super) size: u64,
    pub(super) words: String,
    pub(super) tries: Vec<String>,
}

/// Judges. `target` is how commands name the process.
pub(super) fn judge(facts: &Facts, target: &str) -> Verdict {
    let rss = facts.rss();
    let enough = |size: u64, share: f64| size >= LEAST && size as f64 >= rss as f64 * share;
    let (heap, in_workers) = (facts.heap(), facts.in_workers());
    let mut causes: Vec<(Cause, u64)> = Vec::new();
    if enough(heap, SHARE) {
        // The main thread's own heap is what remains.
        let workers = in_workers > heap / 2 && facts.isolates.len() > 1;
        causes.push((if workers { Cause::Workers } else { Cause::JsHeap }, heap));
    }
    match facts.external() {
        Some(external) => {
            // Memory that no one has written to yet is held and not resident.
            let held = facts.in_use().map_or(external, |in_use| external.min(in_use));
            if enough(held, SHARE) {
                causes.push((Cause::Buffers, held));
            }
            if let Some(native) = facts.native().filter(|&native| enough(native, SHARE)) {
                causes.push((Cause::Native, native));
            }
        }
        None => {
            if let Some(size) = facts.in_use().filter(|&size| enough(size, SHARE)) {
                causes.push((Cause::BuffersOrNative, size));
            }
        }
    }
    if let Some(free) = facts.free().filter(|&free| enough(free, FREE_SHARE)) {
        causes.push((Cause::Fragmentation, free));
    }
    causes.sort_by_key(|&(_, size)| std::cmp::Reverse(size));
    let (cause, size) = causes.first().copied().unwrap_or((Cause::Nothing, 0));
    let (mut words, tries) = told(facts, cause, size, target);
    if let Some(&(next, size)) = causes.get(1) {
        words += &format!(" Next: {}, {}.", noun(next), bytes(size));
    }
    Verdict { cause, size, words, tries }
}

fn noun(cause: Cause) -> &'static str {
    match cause {
        Cause::JsHeap => "the JS heap",
        Cause::Workers => "the heaps of workers",
        Cause::Buffers => "external buffers",
        Cause::BuffersOrNative => "buffers or native memory",
        Cause::Native => "native memory",
        Cause::Fragmentation => "allocator fragmentation",
        Cause::Nothing => "nothing",
    }
}

fn told(facts: &Facts, cause: Cause, size: u64, target: &str) -> (String, Vec<String>) {
    let rss = facts.rss();
    let part = format!("{} of {} resident ({})", bytes(size), bytes(rss), percent(size, rss));
    match cause {
        Cause::JsHeap => {
            let mut words = format!("JS heap: {part} is V8's heap");
            let used = facts.sum(|isolate| isolate.used);
            if used > 0 {
                words += &format!(", {} of it objects", bytes(used.min(size)));
            }
            words.push('.');
            if used > 0 && used < size / 2 {
                words += " Most of it is free or garbage: V8 keeps the pages of a peak for a while.";
            }
            let tries = vec![
                format!(
                    "heapsight leak {target} names what grows; heapsight sample {target} names who allocates"
                ),
                "a lower --max-old-space-size makes V8 collect sooner".to_owned(),
            ];
            (words, tries)
        }
        Cause::Workers => {
            let workers = facts.isolates.len() - 1;
            let mut sizes: Vec<(u64, u32)> =
                facts.isolates.iter().skip(1).map(|(number, isolate)| (physical(isolate), *number)).collect();
            sizes.sort_by_key(|&(size, number)| (std::cmp::Reverse(size), number));
            let (largest, number) = sizes.first().copied().unwrap_or_default();
            let words = format!(
                "worker isolates: {part} is V8's heaps, {} of it those of {} workers; the largest is worker {number} with {}.",
                bytes(facts.in_workers()),
                count(workers as u64),
                bytes(largest),
            );
            let tries = vec![
                format!("heapsight snapshot {target} --thread {number} shows what is in it"),
                "a pool with fewer workers, or resourceLimits of the Worker".to_owned(),
            ];
            (words, tries)
        }
        Cause::Buffers => {
            let (all, buffers) =
                (facts.external().unwrap_or(size), facts.sum(|isolate| isolate.array_buffers));
            let holders = if buffers >= all / 2 {
                "ArrayBuffers and Buffers".to_owned()
            } else {
                let others = bytes(all - buffers);
                format!(
                    "native objects that V8 accounts for ({others}: zlib streams, TLS sockets and the like) and Buffers"
                )
            };
            let words = format!(
                "external buffers: {part} is held by {holders}, outside of the JS heap, which is {}.",
                bytes(facts.heap())
            );
            let tries = vec![
                format!(
                    "heapsight snapshot {target}, then heapsight retainers FILE ArrayBuffer says who holds them"
                ),
                "streams instead of whole bodies; Buffer.from(slice) where a small part keeps a large block"
                    .to_owned(),
            ];
            (words, tries)
        }
        Cause::BuffersOrNative => {
            let words = format!(
                "buffers or native memory: {part} is in use by the allocator. Without the inspector it cannot be told whether \
                 Buffers hold it or native code."
            );
            (words, vec![format!("heapsight rss {target} without --no-inspector tells them apart")])
        }
        Cause::Native => {
            let words = format!(
                "native memory: {part} is in use by the allocator, and neither V8 nor any buffer accounts for it. If it \
                 grows, an addon or a library leaks."
            );
            let tries = vec![
                format!("heapsight rss {target} again later: does this part grow?"),
                "addons (images, databases, TLS), zlib streams and file watchers that are not closed; heaptrack or jemalloc's \
                 profiler names the native function"
                    .to_owned(),
            ];
            (words, tries)
        }
        Cause::Fragmentation => {
            let memory = facts.memory.as_ref();
            let arenas = memory.map_or(0, |memory| memory.extra_arenas);
            let in_threads =
                memory.and_then(|memory| memory.extra_arenas_free).is_some_and(|free| free * 2 > size);
            let number = heapsight_report::units::number_of(arenas.into(), "arena", "arenas");
            let place = match (arenas, in_threads) {
                (0, _) => String::new(),
                (_, true) => format!(", most of it in {number} that threads have besides the main one"),
                (_, false) => format!(", most of it in the main arena ({number} besides it)"),
            };
            let words = format!(
                "allocator fragmentation: {part} is free inside of glibc's malloc{place}, which does not give it back."
            );
            let jemalloc =
                "jemalloc: LD_PRELOAD=libjemalloc.so.2, which gives memory back by itself".to_owned();
            let tries = if in_threads {
                vec!["MALLOC_ARENA_MAX=2 in the environment of the program".to_owned(), jemalloc]
            } else {
                // Fewer arenas would change nothing.
                let large = "larger buffers that are used again, in place of many short-lived ones";
                vec![jemalloc, large.to_owned()]
            };
            (words, tries)
        }
        Cause::Nothing => {
            let words = format!(
                "nothing wrong: of {} resident no part stands out. {}",
                bytes(rss),
                facts.memory.as_ref().map_or_else(String::new, |memory| format!(
                    "{} are the program's files, {} V8's heap.",
                    bytes(memory.files),
                    bytes(facts.heap())
                ))
            );
            (words.trim_end().to_owned(), Vec::new())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn facts(js_heap: u64, arenas: (u64, u64), large: u64, external: u64) -> Facts {
        let memory = Memory {
            rss: (js_heap + arenas.0 + large + 40) * MIB,
            js_heap: js_heap * MIB,
            arenas: arenas.0 * MIB,
            arenas_in_use: Some(arenas.1 * MIB),
            large_blocks: large * MIB,
            files: 40 * MIB,
            ..Memory::default()
        };
        let isolate =
            IsolateMemory { used: js_heap * MIB, external: external * MIB, ..IsolateMemory::default() };
        Facts { memory: Some(memory), isolates: vec![(0, isolate)] }
    }

    #[test]
    fn each_cause_is_named() {
        let cause = |facts: &Facts| judge(facts, "7").cause;
        assert_eq!(cause(&facts(8, (4, 3), 1, 1)), Cause::Nothing);
        assert_eq!(cause(&facts(500, (20, 15), 10, 5)), Cause::JsHeap);
        assert_eq!(cause(&facts(10, (20, 15), 400, 390)), Cause::Buffers);
        assert_eq!(cause(&facts(10, (500, 490), 0, 5)), Cause::Native);
        assert_eq!(cause(&facts(10, (500, 60), 0, 5)), Cause::Fragmentation);
        let mut workers = facts(300, (20, 15), 10, 5);
        workers.isolates[0].1.used = 10 * MIB;
        workers.isolates[0].1.total = 10 * MIB;
        for number in 1..=10 {
            let isolate = IsolateMemory { used: 28 * MIB, total: 28 * MIB, ..IsolateMemory::default() };
            workers.isolates.push((number, isolate));
        }
        assert_eq!(cause(&workers), Cause::Workers);
        let mut blind = facts(10, (20, 15), 400, 0);
        blind.isolates.clear();
        assert_eq!(cause(&blind), Cause::BuffersOrNative);
    }

    #[test]
    fn fewer_arenas_are_advised_where_there_are_some() {
        let mut facts = facts(10, (500, 60), 0, 5);
        assert!(judge(&facts, "7").tries[0].contains("jemalloc"));
        if let Some(memory) = &mut facts.memory {
            (memory.extra_arenas, memory.extra_arenas_free) = (9, Some(400 * MIB));
        }
        let verdict = judge(&facts, "7");
        assert!(verdict.tries[0].contains("MALLOC_ARENA_MAX"));
        assert!(verdict.words.contains("most of it in 9 arenas that threads have"), "{}", verdict.words);
    }

    #[test]
    fn buffers_that_are_not_resident_are_not_the_cause() {
        assert_eq!(judge(&facts(8, (4, 3), 1, 4000), "7").cause, Cause::Nothing);
    }

    #[test]
    fn the_second_cause_is_told_too() {
        let verdict = judge(&facts(500, (20, 15), 500, 490), "7");
        assert!(verdict.words.contains("Next: "), "{}", verdict.words);
    }
}

//! The workers of a cluster. When the inspector of its primary process opens, Node.js tells each of them to open its own
//! (`NODE_DEBUG_ENABLED` in `lib/internal/cluster/primary.js`). Where each has a port of its own they do, and nobody closes
//! them again; so whoever opens that of a primary looks at its children before and after.

use std::{collections::HashSet, net::SocketAddr};

use crate::process::{Status, methods::SIGUSR1, procfs, sockets};

/// Sockets of a worker that are asked at most.
const ASKED: usize = 8;

/// The children of a process that could open an inspector, and where they listened before.
#[derive(Debug, Default)]
pub(super) struct Workers(Vec<(Status, HashSet<SocketAddr>)>);

impl Workers {
    /// Those of a process. What cannot be read is none.
    pub(super) fn of(pid: u32) -> Self {
        // Processes are forked on the main thread.
        let children = procfs::text(pid, &format!("task/{pid}/children")).unwrap_or_default();
        let children = children.split_ascii_whitespace().filter_map(|child| child.parse().ok());
        let workers = children.filter_map(|child| {
            let status = Status::read(child).ok().filter(|status| status.catches(SIGUSR1))?;
            Some((status, sockets::listening(child).ok()?.into_iter().collect()))
        });
        Self(workers.collect())
    }

    /// Where they listen now and did not before.
    pub(super) fn opened(&self) -> impl Iterator<Item = (&Status, SocketAddr)> {
        let current = self.0.iter().filter(|(status, _)| status.is_current());
        current.flat_map(|(status, before)| {
            let now = sockets::listening(status.pid).unwrap_or_default();
            let new = now.into_iter().filter(|address| !before.contains(address)).take(ASKED);
            new.map(move |address| (status, address)).collect::<Vec<_>>()
        })
    }
}

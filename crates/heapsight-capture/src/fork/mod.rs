//! Fork snapshots: a child of the target writes its heap while the target goes on.

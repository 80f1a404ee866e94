//! Time, as far as uploads wait: one that goes by itself, and the seam for one that does not.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A clock that knows no date, and a way to wait on it.
pub trait Clock: Send + Sync + 'static {
    /// Time since some moment in the past; it never goes back.
    fn now(&self) -> Duration;

    /// Waits until the bell rings, at most for `limit`.
    fn wait(&self, bell: &Bell, limit: Duration);
}

/// The clock of the machine that neither jumps nor goes back.
#[derive(Debug)]
pub struct Monotonic(Instant);

impl Monotonic {
    /// A clock that begins now.
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for Monotonic {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for Monotonic {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn wait(&self, bell: &Bell, limit: Duration) {
        bell.wait(limit);
    }
}

/// What wakes the thread that uploads. A ring that nobody waits for is kept until somebody does.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    /// Rings.
    pub fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.heard.notify_all();
    }

    /// Waits for a ring, at most for `limit`, and says whether there was one.
    pub fn wait(&self, limit: Duration) -> bool {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut rung, _) =
            self.heard.wait_timeout_while(rung, limit, |rung| !*rung).unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *rung)
    }
}

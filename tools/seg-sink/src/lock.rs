//! Locks, also after a thread that held one has broken: what they guard is whole between any two statements, and the run
//! ends with the failure of that thread.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

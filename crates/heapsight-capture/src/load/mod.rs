//! Load on the target while it is captured.

//! Processes of this machine and what they are.

//! Timelines, profiles, compression and streams, launched programs, and what is done without a capture.

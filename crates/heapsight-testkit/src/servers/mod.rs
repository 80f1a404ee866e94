//! Servers on the loopback interface that uploads are tested with: S3 by the crate `s3s-fs`, with faults where a test
//! wants them, and one that writes down what it is sent.

mod recorder;
mod s3;

pub use recorder::{Recorder, Sent};
pub use s3::{BUCKET, Fault, S3Server, Seen};

//! `heapsight arm`.

use heapsight_report::units;
use serde_json::json;

use super::{Forms, capture, write};
use crate::{Answer, args::capture::Arm as Args, context::Context, failure::Failure};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    let stop = capture::stop_on_signals()?;
    let thread = capture::thread(&args.target)?;
    let mut subject = capture::subject(context, &args.target, capture::Makes::Answer, &stop)?;
    let identity = subject.taker.identity()?;
    let armed = subject.taker.session(thread)?.arm_near_limit(args.near_limit, args.target.timeout)?;
    subject.taker.close()?;
    let folder = armed.folder.display().to_string();
    write(
        context,
        Forms {
            json: &|| json!({"pid": identity.pid, "thread": thread, "count": armed.count, "folder": folder}),
            text: &|| {
                let snapshots = units::number_of(u64::from(armed.count), "snapshot", "snapshots");
                format!(
                    "process {} ({identity}) will write up to {snapshots} to {folder} when it nears its heap limit\n",
                    identity.pid
                )
            },
            table: None,
        },
    )?;
    context.warn_of_secrets();
    Ok(Answer::Yes)
}

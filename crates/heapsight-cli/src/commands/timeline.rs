//! `heapsight timeline`.

mod show;

use heapsight_capture::take::TimelineOptions;

use super::capture;
use crate::{
    Answer,
    args::capture::{Timeline as Args, TimelineQuestion},
    context::Context,
    failure::Failure,
};

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    if let Some(TimelineQuestion::Show(args)) = &args.question {
        return show::run(context, args);
    }
    let stop = capture::stop_on_signals()?;
    let thread = capture::thread(&args.target)?;
    let mut meanwhile = capture::meanwhile(context, &args.meanwhile, args.target.timeout)?;
    let mut subject = capture::subject(context, &args.target, capture::Makes::File, &stop)?;
    if args.meanwhile.duration.is_none() && !meanwhile.is_busy() {
        context.note("recording until Ctrl-C; --duration 30s, --load or --during end it by themselves");
    }
    let options = TimelineOptions { thread, no_stacks: args.no_stacks, output: context.capture_output() };
    let taken = capture::watched(context, &stop, |monitor| {
        Ok(subject.taker.timeline(&options, capture::stdout(context), monitor, &mut meanwhile)?)
    })
    .map_err(|failure| subject.explained(failure))?;
    subject.taker.close()?;
    capture::report(context, &[taken], meanwhile.finish(&stop))?;
    Ok(Answer::Yes)
}

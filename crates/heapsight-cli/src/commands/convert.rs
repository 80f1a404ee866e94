//! `heapsight convert`.

use std::path::Path;

use heapsight_profile::Profile;

use super::profile;
use crate::{
    Answer,
    args::profile::Convert as Args,
    context::{Context, title},
    failure::Failure,
    output::Output,
};

/// What a profile can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Inspector,
    Flat,
    Pprof,
    Speedscope,
    Collapsed,
    Csv,
}

impl Format {
    /// The format that a name asks for, if it is one.
    fn named(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_lowercase();
        let endings = [
            (".flat.heapprofile", Self::Flat),
            (".heapprofile", Self::Inspector),
            (".pb.gz", Self::Pprof),
            (".speedscope.json", Self::Speedscope),
            (".collapsed.txt", Self::Collapsed),
            (".csv", Self::Csv),
        ];
        endings.into_iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, format)| format)
    }

    /// The format of an output: the inspector's layout if its name says nothing.
    pub(super) fn of(path: Option<&Path>) -> Self {
        path.and_then(Self::named).unwrap_or(Self::Inspector)
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Answer, Failure> {
    context.refuse_form("the name of the output says the format")?;
    let Some(format) = Format::named(&args.out) else {
        return Err(Failure::new(
            format!("the name {} does not say the format", args.out.display()),
            "use .heapprofile, .flat.heapprofile, .pb.gz, .speedscope.json, .collapsed.txt or .csv",
        ));
    };
    let output = context.output_to(&args.out)?;
    let read = profile::read(context, &args.input)?;
    let files = std::slice::from_ref(&args.input);
    write(&profile::viewed(read, args.view, files), format, &title(&args.input), output)?;
    Ok(Answer::Yes)
}

/// Writes a profile.
pub(super) fn write(
    profile: &Profile,
    format: Format,
    title: &str,
    mut output: Output,
) -> Result<(), Failure> {
    let written = match format {
        Format::Inspector => heapsight_profile::inspector(profile, &mut output),
        Format::Flat => heapsight_profile::flat(profile, &mut output),
        Format::Pprof => heapsight_profile::pprof(profile, &mut output),
        Format::Speedscope => heapsight_profile::speedscope(profile, title, &mut output),
        Format::Collapsed => heapsight_profile::collapsed(profile, &mut output),
        Format::Csv => heapsight_profile::csv(profile, &mut output),
    };
    written?;
    output.finish()
}

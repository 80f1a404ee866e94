//! Arguments of `heapsight upload`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

/// Bring captures to an object store, verified; or profiles to Grafana Pyroscope
///
/// Files go to Amazon S3 and what speaks like it, Google Cloud Storage, Azure, or a folder. What fails for a passing reason
/// is tried again; what was broken off, by Ctrl-C or by the end of the machine, goes on where it was with --resume. Of a
/// large file only the parts go up that are not there. A file that has a side file (.meta.json) takes it along. No other
/// object of the same name is overwritten without --force.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight upload app.heapsnapshot.zst --to s3://captures/prod
  heapsight upload *.heapsnapshot.zst --to gs://captures/prod --delete-after
  heapsight upload app.heapsnapshot.zst --to file:///mnt/captures
  heapsight upload app.heapprofile --to 'pyroscope+http://localhost:4040?name=shop&env=prod'
  heapsight upload --resume

Destinations:
  s3://BUCKET/PREFIX                  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION;
                                      AWS_ENDPOINT_URL for others than Amazon, with AWS_ALLOW_HTTP=true for http:
  gs://BUCKET/PREFIX                  GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_SERVICE_ACCOUNT
  az://CONTAINER/PREFIX               AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_KEY
  file:///FOLDER                      made if it is not there
  pyroscope+http[s]://HOST?name=APP   PYROSCOPE_BASIC_AUTH_USER and PYROSCOPE_BASIC_AUTH_PASSWORD, or
                                      PYROSCOPE_AUTH_TOKEN; PYROSCOPE_TENANT_ID; &LABEL=VALUE for labels
Credentials come from the environment, or from the machine's role in its cloud, and never from the URL.
HTTPS_PROXY and NO_PROXY are followed.

Exit code 2 if a file did not go up.")]
pub(crate) struct Upload {
    /// Files
    #[arg(value_name = "FILE", required_unless_present = "resume", conflicts_with = "resume")]
    pub(crate) files: Vec<PathBuf>,
    /// Where to (see below)
    #[arg(long, value_name = "URL", required_unless_present = "resume", conflicts_with = "resume")]
    pub(crate) to: Option<String>,
    /// Go on with what was broken off
    #[arg(long)]
    pub(crate) resume: bool,
    /// Remove each file when its copy is verified, and not before
    #[arg(long, conflicts_with = "resume")]
    pub(crate) delete_after: bool,
    /// How a copy is verified
    #[arg(long, value_enum, default_value_t = Verify::Checksum, value_name = "HOW")]
    pub(crate) verify: Verify,
    /// Give a file up after so many attempts in a row that get nothing across
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = super::whole::<u32>(1, None))]
    pub(crate) attempts: u32,
    /// Parts of a file under way at once, of 8 MiB each
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = super::whole::<u8>(1, Some(64)))]
    pub(crate) parallel: u8,
    /// Folder for what is needed to go on [default: heapsight/uploads in XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) queue: Option<PathBuf>,
}

/// How a copy is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Verify {
    /// By the checksum that the store computed, where it has one; else by reading back
    Checksum,
    /// By reading all of it back
    ReadBack,
}

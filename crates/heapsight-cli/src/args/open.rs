//! Arguments of `open`.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::Args as ClapArgs;

use super::capture::duration;

/// Look at files in a page of the browser
///
/// Serves a page on this machine alone and opens it: all the views of DevTools' Memory tab, and what it has not. The page is
/// for whoever has the address that is printed; it ends with Ctrl-C.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  heapsight open app.heapsnapshot
  heapsight open before.heapsnapshot after.heapsnapshot      to compare them
  heapsight open --no-browser --port 7000 app.heapsnapshot   for `ssh -L 7000:localhost:7000`
  heapsight open 4711                                        a running process
  heapsight open                                             captures in this folder, files opened before, processes

Over ssh, forward the port and open the address that is printed on your own machine.")]
pub(crate) struct Open {
    /// Snapshots, timelines and profiles; or a process id, HOST:PORT or ws:// URL to capture from
    #[arg(value_name = "FILE|TARGET")]
    pub(crate) files: Vec<PathBuf>,
    /// Print the address and start no browser
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// The port to listen on; 0 is any that is free
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) port: u16,
    /// Capture nothing: the page only shows files
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Listen on this address instead of the loopback interface: others who have the address of the page can then read the
    /// heap, and so can whoever reads the network
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub(crate) listen: IpAddr,
    /// End when no page was open for so long
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) idle_timeout: Option<Duration>,
}

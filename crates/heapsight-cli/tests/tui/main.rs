//! `heapsight tui` on a real terminal, that of tmux: that keys reach it, and that the terminal is as before in the end,
//! however it ends.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// A terminal with the command in it. Its server ends with it.
struct Screen {
    dir: tempfile::TempDir,
}

impl Screen {
    fn new(files: &[&str], environment: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<String> = files
            .iter()
            .map(|name| {
                let path = heapsight_testkit::fixtures::path(name);
                // What is no capture is not compressed.
                let path = if path.exists() { path } else { heapsight_testkit::fixtures::dir().join(name) };
                format!("'{}'", path.canonicalize().unwrap().display())
            })
            .collect();
        let script = format!(
            "sh -c 'echo $$ > {0}/pid; exec \"$@\"' sh env {environment} HOME={0} {1} tui {2}\n\
             echo ended with $?\nstty -a | tr ' ;' '\\n' | grep -x -e icanon -e echo | tr '\\n' '+'\nsleep 100\n",
            dir.path().display(),
            env!("CARGO_BIN_EXE_heapsight"),
            files.join(" ")
        );
        let screen = Self { dir };
        fs::write(screen.file("script"), script).unwrap();
        let script = screen.file("script");
        screen.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "100",
            "-y",
            "30",
            "sh",
            script.to_str().unwrap(),
        ]);
        screen
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(self.file("socket"))
            .args(args)
            .env_remove("TMUX")
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("this test needs tmux: {error}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn shown(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until something is on the screen.
    fn wait(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let shown = self.shown();
            if shown.contains(text) {
                return shown;
            }
            assert!(begun.elapsed() < DEADLINE, "`{text}` did not come:\n{shown}");
            thread::sleep(Duration::from_millis(30));
        }
    }

    fn keys(&self, keys: &[&str]) {
        let mut args = vec!["send-keys"];
        args.extend(keys);
        self.tmux(&args);
    }

    fn pid(&self) -> String {
        fs::read_to_string(self.file("pid")).unwrap().trim().to_owned()
    }

    /// Waits for the end, and looks whether the terminal is as before: lines with echo, no second screen, no mouse, a
    /// cursor.
    fn ended(&self, code: u8) -> String {
        let shown = self.wait("icanon+");
        assert!(shown.contains(&format!("ended with {code}")), "{shown}");
        assert!(shown.contains("echo+"), "the terminal does not echo:\n{shown}");
        let flags = self.tmux(&["display-message", "-p", "#{alternate_on}#{mouse_any_flag}#{cursor_flag}"]);
        assert_eq!(flags.trim(), "001", "second screen, mouse, cursor");
        shown
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn a_leak_is_found_with_a_few_keys() {
    let screen = Screen::new(&["pairA.heapsnapshot", "pairB.heapsnapshot"], "");
    screen.wait("148 classes");
    assert_eq!(screen.tmux(&["display-message", "-p", "#{alternate_on}"]).trim(), "1");
    screen.keys(&["2"]);
    screen.wait("35 classes changed");
    screen.keys(&["/", "Leak", "Enter"]);
    screen.wait("“Leak” · 1 class changed");
    screen.keys(&["Right"]);
    screen.wait("+ Leak @");
    screen.keys(&["Down", "r"]);
    screen.wait("Who holds Leak @");
    screen.keys(&["?"]);
    screen.wait("go from view to view");
    screen.keys(&["q"]);
    screen.keys(&["b"]);
    screen.wait("“Leak” · 1 class changed");
    screen.keys(&["q"]);
    screen.ended(0);
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let screen = Screen::new(&["pairA.heapsnapshot"], "");
    screen.wait("classes, ");
    let done = Command::new("kill").args(["-TERM", &screen.pid()]).status().unwrap();
    assert!(done.success());
    screen.ended(0);
}

#[test]
fn control_c_ends_it() {
    let screen = Screen::new(&["pairA.heapsnapshot"], "");
    screen.wait("classes, ");
    screen.keys(&["C-c"]);
    screen.ended(0);
}

/// The way to panic is compiled into debug builds only.
#[cfg(debug_assertions)]
#[test]
fn a_panic_gives_the_terminal_back_and_is_told() {
    let screen = Screen::new(&["pairA.heapsnapshot"], "HEAPSIGHT_TUI_PANICS=1");
    screen.wait("classes, ");
    screen.keys(&["!"]);
    let shown = screen.ended(101);
    assert!(shown.contains("a panic was asked for"), "{shown}");
}

#[test]
fn a_file_that_is_no_snapshot_is_said_on_the_screen_as_it_was() {
    let screen = Screen::new(&["README.md"], "");
    let shown = screen.ended(2);
    assert!(
        shown.contains("cannot open") && shown.contains("hint: heapsight reads .heapsnapshot"),
        "{shown}"
    );
}

#[test]
fn without_a_terminal_it_refuses_and_says_what_does_the_same() {
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_heapsight"))
            .args(args)
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run(&["tui", "app.heapsnapshot"]);
    assert_eq!(code, Some(2));
    assert!(
        said.contains("there is no terminal") && said.contains("heapsight summary app.heapsnapshot"),
        "{said}"
    );
    let (code, said) = run(&["tui", "app.heapsnapshot", "--json"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("do not apply"), "{said}");
}

//! Options of a Node.js process: from its command line and from `NODE_OPTIONS`.
//!
//! What Node would take as its own option counts, not what a script is given. A program that sets `process.title` writes
//! over its command line; then only `NODE_OPTIONS` is left.

/// Options of Node that take the next argument as their value when there is no `=`.
const WITH_VALUE: [&str; 40] = [
    "-C",
    "-e",
    "-p",
    "-r",
    "--build-sea",
    "--conditions",
    "--cpu-prof-dir",
    "--cpu-prof-interval",
    "--cpu-prof-name",
    "--debug-port",
    "--diagnostic-dir",
    "--disable-proto",
    "--disable-warning",
    "--dns-result-order",
    "--env-file",
    "--env-file-if-exists",
    "--eval",
    "--experimental-config-file",
    "--experimental-loader",
    "--experimental-sea-config",
    "--heap-prof-dir",
    "--heap-prof-interval",
    "--heap-prof-name",
    "--heapsnapshot-near-heap-limit",
    "--heapsnapshot-signal",
    "--icu-data-dir",
    "--import",
    "--input-type",
    "--inspect-port",
    "--inspect-publish-uid",
    "--loader",
    "--localstorage-file",
    "--max-http-header-size",
    "--openssl-config",
    "--print",
    "--redirect-warnings",
    "--report-signal",
    "--require",
    "--title",
    "--unhandled-rejections",
];

/// Options in the order in which they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Name (with `-` for `_`) and value.
    options: Vec<(String, Option<String>)>,
}

impl Arguments {
    /// The options before the script of a command line, without the program.
    pub(crate) fn of_command(command: &[String]) -> Self {
        Self::parse(command.iter().skip(1).map(String::as_str))
    }

    /// The options after the subcommand of a command line (`deno run --inspect ...`).
    pub(crate) fn of_subcommand(command: &[String]) -> Self {
        let skip = if command.get(1).is_some_and(|word| !word.starts_with('-')) { 2 } else { 1 };
        Self::parse(command.iter().skip(skip).map(String::as_str))
    }

    /// All options of a command line of Chromium, whose processes write their options as one word.
    pub(crate) fn of_chromium(command: &[String]) -> Self {
        let words = command.iter().skip(1).map(String::as_str);
        let words = words.chain(command.first().into_iter().flat_map(|first| first.split(' ').skip(1)));
        let options = words
            .filter(|word| word.starts_with("--"))
            .flat_map(|word| Self::parse([word].into_iter()).options);
        Self { options: options.collect() }
    }

    /// The options of a value of `NODE_OPTIONS`.
    pub(crate) fn of_variable(text: &str) -> Self {
        let words = split(text);
        Self::parse(words.iter().map(String::as_str))
    }

    /// These after those: the later ones win.
    pub(crate) fn and(mut self, later: Self) -> Self {
        self.options.extend(later.options);
        self
    }

    fn parse<'a>(mut words: impl Iterator<Item = &'a str>) -> Self {
        let mut options = Vec::new();
        while let Some(word) = words.next() {
            if !word.starts_with('-') || word == "-" || word == "--" {
                break;
            }
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            let name = if name.starts_with("--") { name.replace('_', "-") } else { name.to_owned() };
            let value = match value {
                None if WITH_VALUE.contains(&name.as_str()) => words.next(),
                value => value,
            };
            options.push((name, value.map(str::to_owned)));
        }
        Self { options }
    }

    /// Whether an option is given and not taken back (`--no-...`).
    pub(crate) fn has(&self, name: &str) -> bool {
        let without = format!("--no-{}", name.trim_start_matches('-'));
        let last = self.options.iter().rev().find(|(n, _)| n == name || *n == without);
        last.is_some_and(|(n, _)| n == name)
    }

    /// The last value of an option.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(n, _)| n == name)?.1.as_deref()
    }
}

/// Words as Node splits `NODE_OPTIONS`: at blanks that are not within double quotes; a backslash within them escapes.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut within = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if within => word.extend(chars.next()),
            '"' => within = !within,
            ' ' if !within => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Where Node's inspector is to listen: host and port, from all options that set it; port 0 is any.
pub(crate) fn inspector_address(arguments: &Arguments) -> (String, u16) {
    let mut host = "127.0.0.1".to_owned();
    let mut port = 9229;
    let setting = ["--inspect", "--inspect-brk", "--inspect-wait", "--inspect-port", "--debug-port"];
    for (_, value) in arguments.options.iter().filter(|(name, _)| setting.contains(&name.as_str())) {
        let Some(value) = value else { continue };
        let (left, right) = match value.rsplit_once(':') {
            // An IPv6 address alone, or in brackets, is a host.
            Some((left, right)) if !left.contains(':') || left.ends_with(']') => (left, right),
            _ => ("", value.as_str()),
        };
        match right.parse() {
            Ok(number) => {
                port = number;
                if !left.is_empty() {
                    left.trim_matches(['[', ']']).clone_into(&mut host);
                }
            }
            Err(_) => value.trim_matches(['[', ']']).clone_into(&mut host),
        }
    }
    (host, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Arguments {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        Arguments::of_command(&words)
    }

    #[test]
    fn options_end_where_the_script_begins() {
        let arguments =
            command("node --permission -r ./x.js --heapsnapshot-signal SIGUSR2 app.js --no-addons --title=a");
        assert!(arguments.has("--permission") && !arguments.has("--no-addons") && !arguments.has("--title"));
        assert_eq!(arguments.value("--heapsnapshot-signal"), Some("SIGUSR2"));
        assert!(command("node --disable_sigusr1 a.js").has("--disable-sigusr1"));
        assert!(!command("node -- --permission").has("--permission"));
        assert!(!command("node -e --permission").has("--permission"));
        assert!(!command("node").has("--permission"));
    }

    #[test]
    fn processes_of_chromium_write_one_word() {
        let words =
            |words: &[&str]| Arguments::of_chromium(&words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>());
        let renderer = words(&[
            "/usr/lib/chromium/chromium --type=renderer --enable-crash-reporter=,built on Debian --lang=en",
        ]);
        assert_eq!((renderer.value("--type"), renderer.value("--lang")), (Some("renderer"), Some("en")));
        let browser =
            words(&["/usr/lib/chromium/chromium", "file:///a --type=x", "--remote-debugging-port=0"]);
        assert_eq!((browser.value("--type"), browser.value("--remote-debugging-port")), (None, Some("0")));
    }

    #[test]
    fn the_last_of_contrary_options_holds() {
        assert!(!command("node --permission --no-permission a.js").has("--permission"));
        assert!(command("node --no-addons a.js").has("--no-addons"));
        let later = Arguments::of_variable("--no-addons").and(command("node --addons a.js"));
        assert!(later.has("--addons"));
    }

    #[test]
    fn node_options_with_quotes() {
        let arguments = Arguments::of_variable(r#"--require "/a b/c\"d.js"  --max-old-space-size=4096"#);
        assert_eq!(arguments.value("--require"), Some("/a b/c\"d.js"));
        assert_eq!(arguments.value("--max-old-space-size"), Some("4096"));
    }

    #[test]
    fn addresses_of_the_inspector() {
        let address = |text: &str| inspector_address(&command(text));
        let is = |host: &str, port| (host.to_owned(), port);
        assert_eq!(address("node a.js"), is("127.0.0.1", 9229));
        assert_eq!(address("node --inspect a.js"), is("127.0.0.1", 9229));
        assert_eq!(address("node --inspect=0 a.js"), is("127.0.0.1", 0));
        assert_eq!(address("node --inspect=0.0.0.0:9300 a.js"), is("0.0.0.0", 9300));
        assert_eq!(address("node --inspect-port=10.0.0.5 --inspect a.js"), is("10.0.0.5", 9229));
        assert_eq!(address("node --inspect=[::1]:0 a.js"), is("::1", 0));
        assert_eq!(address("node --inspect=::1 a.js"), is("::1", 9229));
        assert_eq!(address("node --inspect-port 9999 a.js"), is("127.0.0.1", 9999));
    }
}

//! The npm packages as users get them: packed, published to a registry on loopback, installed by `npm install` into a
//! clean folder, and run from there on Node.js 14 to 26. Each script here is a suite; it runs inside of that folder.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::LazyLock,
    thread,
};

use heapsight_testkit::runtimes;

/// What the packages promise to run on; `heap-profile` runs on older ones too.
const NODES: [u32; 5] = [18, 20, 22, 24, 26];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The registry, for as long as is installed from it.
struct Registry(Child);

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A clean folder with the packages installed, made once for all tests.
static PROJECT: LazyLock<PathBuf> = LazyLock::new(install);

fn install() -> PathBuf {
    let project = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("npm-project");
    let _ = std::fs::remove_dir_all(&project);
    std::fs::create_dir_all(&project).unwrap();
    let tarballs = project.with_file_name("npm-tarballs");
    let scratch = project.with_file_name("npm-scratch");
    std::fs::create_dir_all(&scratch).unwrap();
    let addon = scratch.join("heapsight_fork.node");
    std::fs::write(&addon, heapsight_capture::fork::addon()).unwrap();
    let binary = scratch.join("heapsight");
    run(Command::new("strip").arg("-o").arg(&binary).arg(env!("CARGO_BIN_EXE_heapsight")));
    let mut pack = Command::new(runtimes::node(22));
    pack.arg(here("../../npm/pack.mjs")).arg("--out").arg(&tarballs).args(["--platform", "linux-x64"]);
    pack.args(["--version", env!("CARGO_PKG_VERSION")])
        .arg("--binary")
        .arg(&binary)
        .arg("--addon")
        .arg(&addon);
    run(&mut pack);

    let mut registry = Command::new(runtimes::node(22));
    registry.arg(here("tests/npm/registry.mjs")).arg(&tarballs).stdout(Stdio::piped());
    let mut registry = Registry(registry.spawn().unwrap());
    let mut address = String::new();
    BufReader::new(registry.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
    std::fs::write(project.join("package.json"), r#"{ "name": "project", "private": true }"#).unwrap();
    let mut install = Command::new("npm");
    install.args([
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts=false",
        "heapsight",
        "heap-profile",
    ]);
    install.arg(format!("--registry={}", address.trim())).current_dir(&project);
    run(install.arg("--cache").arg(scratch.join("cache")));

    for file in std::fs::read_dir(here("tests/npm")).unwrap() {
        let file = file.unwrap().path();
        if file.is_file() && file.extension().is_some_and(|extension| extension != "rs") {
            std::fs::copy(&file, project.join(file.file_name().unwrap())).unwrap();
        }
    }
    for (folder, from) in [("examples", here("tests/npm/examples")), ("types", here("tests/npm/types"))] {
        std::fs::create_dir_all(project.join(folder)).unwrap();
        for file in std::fs::read_dir(from).unwrap() {
            let file = file.unwrap().path();
            std::fs::copy(&file, project.join(folder).join(file.file_name().unwrap())).unwrap();
        }
    }
    // What the examples import beside ours; Node.js finds what these import by where they really are.
    for package in ["vitest", "@types/node"] {
        let link = project.join("node_modules").join(package);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(runtimes::reader(package), link).unwrap();
    }
    project
}

/// A version of Node.js in the project's folder, at the priority that children of fork snapshots have: they would wait
/// for each other's parents otherwise.
fn node(major: u32) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(runtimes::node(major));
    command.current_dir(&*PROJECT).env_remove("NODE_OPTIONS");
    command.env("HEAPSIGHT_CACHE_DIR", PROJECT.join("cache"));
    command
}

/// Runs one script on several versions, two at a time, and shows all that failed.
fn on(majors: &[u32], arguments: &[&str]) {
    LazyLock::force(&PROJECT);
    let failed: Vec<String> = thread::scope(|scope| {
        let turns = [0, 1].map(|turn| {
            scope.spawn(move || {
                let majors = majors.iter().skip(turn).step_by(2);
                let runs = majors.map(|&major| (major, node(major).args(arguments).output().unwrap()));
                let failed = runs.filter(|(_, output)| !output.status.success());
                failed
                    .map(|(major, output)| format!("Node.js {major}:\n{}", text(&output)))
                    .collect::<Vec<_>>()
            })
        });
        turns.into_iter().flat_map(|turn| turn.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn the_command_is_the_binary() {
    on(&[18, 24], &["launcher.mjs"]);
}

#[test]
fn captures_from_inside() {
    on(&NODES, &["captures.cjs"]);
}

#[test]
fn growth_is_found_and_nothing_else() {
    on(&NODES, &["growth.cjs"]);
}

#[test]
fn triggers_by_signal_http_and_environment() {
    on(&NODES, &["triggers.cjs"]);
    on(&[16], &["triggers.cjs", "--require-alone"]);
}

#[test]
fn heap_profile_runs_the_programs_of_the_old_module() {
    on(&[14, 16, 18, 20, 22, 24, 26], &["heap-profile.cjs"]);
}

#[test]
fn both_kinds_of_modules_import_them() {
    on(&NODES, &["imports.mjs"]);
}

#[test]
fn the_example_for_node_test_runs() {
    on(&[18, 26], &["--test", "examples/store.test.cjs"]);
}

#[test]
fn the_example_for_jest_runs() {
    let jest = runtimes::reader("jest").join("bin/jest.js");
    on(&[18, 26], &[jest.to_str().unwrap(), "--ci", "--rootDir=examples", "--testMatch=**/*.jest.js"]);
}

#[test]
fn the_example_for_vitest_runs() {
    let vitest = runtimes::reader("vitest").join("vitest.mjs");
    on(&[22, 26], &[vitest.to_str().unwrap(), "run", "--root=examples", "--config=vitest.config.mjs"]);
}

#[test]
fn types_are_right() {
    let compiler = runtimes::reader("typescript").join("bin/tsc");
    run(node(22).arg(compiler).args(["-p", "types"]));
}

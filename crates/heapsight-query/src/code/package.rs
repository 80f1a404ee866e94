//! To which npm package a file belongs.
//!
//! The name stands in the path. Installed packages lie in folders `node_modules/NAME` or `node_modules/@SCOPE/NAME`, the
//! last of which in a path is the file's own. pnpm and Deno keep the files in `node_modules/.pnpm/NAME@VERSION/...`, Deno's
//! global store in `npm/REGISTRY/NAME/VERSION/...`. What belongs to the runtime itself has URLs like
//! `node:internal/timers`.

/// The package of a path or URL; `None` for the program's own files. Modules of the runtime are called by their public
/// name, `node:fs` for `node:fs/promises`, and all that is not public is `node:internal`.
pub fn package_of(url: &str) -> Option<String> {
    for runtime in ["node:", "ext:", "bun:"] {
        if let Some(module) = url.strip_prefix(runtime) {
            let module = module.split('/').next().unwrap_or(module);
            return Some(format!("{runtime}{module}"));
        }
    }
    let parts: Vec<&str> = url.split(['/', '\\']).filter(|part| !part.is_empty()).collect();
    // The last part is the file: a script `node_modules/a.js` belongs to no package.
    let folders = parts.get(..parts.len().saturating_sub(1)).unwrap_or_default();
    if let Some(at) = folders.iter().rposition(|&part| part == "node_modules") {
        return in_node_modules(&folders[at + 1..]);
    }
    let at = folders.windows(2).rposition(|pair| pair[0] == "npm" && pair[1].contains('.'))?;
    scoped(&folders[at + 2..])
}

/// The package that the folders below `node_modules` name.
fn in_node_modules(folders: &[&str]) -> Option<String> {
    match folders {
        [".pnpm" | ".deno" | ".store", entry, ..] => store_entry(entry),
        _ => scoped(folders),
    }
}

/// `NAME` or `@SCOPE/NAME`.
fn scoped(folders: &[&str]) -> Option<String> {
    match folders {
        [scope, name, ..] if scope.starts_with('@') => Some(format!("{scope}/{name}")),
        [name, ..] if !name.starts_with('.') && !name.starts_with('@') => Some((*name).to_owned()),
        _ => None,
    }
}

/// The package of an entry of pnpm's store: `express@4.18.2`, `@babel+core@7.0.0_supports-color@8.1.1`.
fn store_entry(entry: &str) -> Option<String> {
    let from = usize::from(entry.starts_with('@'));
    let end = entry[from..].find('@').map_or(entry.len(), |at| from + at);
    let name = entry[..end].replacen('+', "/", from);
    (name.len() > from && !name.starts_with('.')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_off_paths() {
        for (url, wanted) in [
            ("/srv/app/store.js", None),
            ("/srv/app/node_modules/express/lib/router/index.js", Some("express")),
            ("/srv/app/node_modules/@fastify/ajv/index.js", Some("@fastify/ajv")),
            ("/srv/node_modules/a/node_modules/b/c.js", Some("b")),
            ("/srv/node_modules/.pnpm/a@1.0.0/node_modules/a/i.js", Some("a")),
            ("/srv/node_modules/.pnpm/a@1.0.0/node_modules/@s/b/i.js", Some("@s/b")),
            ("/srv/node_modules/.pnpm/a@1.0.0/i.js", Some("a")),
            ("/srv/node_modules/.pnpm/@s+a@1.0.0_b@2.0.0/i.js", Some("@s/a")),
            ("/srv/node_modules/.pnpm/@/i.js", None),
            ("/srv/node_modules/.cache/i.js", None),
            ("/srv/node_modules/i.js", None),
            ("/srv/node_modules/@s/i.js", None),
            ("node_modules/a/i.js", Some("a")),
            ("C:\\srv\\node_modules\\a\\i.js", Some("a")),
            ("webpack://shop/./node_modules/lodash/lodash.js", Some("lodash")),
            ("/root/.cache/deno/npm/registry.npmjs.org/chalk/5.3.0/source/index.js", Some("chalk")),
            ("/root/.cache/deno/npm/registry.npmjs.org/@s/a/5.3.0/index.js", Some("@s/a")),
            ("/srv/npm/index.js", None),
            ("node:fs/promises", Some("node:fs")),
            ("node:internal/timers", Some("node:internal")),
            ("ext:core/00_primordials.js", Some("ext:core")),
            ("", None),
            ("/", None),
        ] {
            assert_eq!(package_of(url).as_deref(), wanted, "{url}");
        }
    }
}

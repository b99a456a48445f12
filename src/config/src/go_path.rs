//! Joining and cleaning paths as Go does, so that shown paths agree. It touches no file system.

use std::path::{Component, Path, PathBuf};

/// The directory that relative paths in a file start from. Compat: `filepath.Dir`.
pub(crate) fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => clean(parent),
        _ => PathBuf::from("."),
    }
}

/// An absolute or empty path as it is, another one from `directory`. Compat: `config.JoinDir`.
pub(crate) fn join(directory: &Path, path: &str) -> PathBuf {
    if path.is_empty() || Path::new(path).is_absolute() {
        return PathBuf::from(path);
    }
    clean(&directory.join(path))
}

/// Without `.`, empty and resolvable `..` elements. Compat: `filepath.Clean`.
fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        let last = out.components().next_back();
        match (component, last) {
            (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                out.pop();
            }
            (component, _) => out.push(component),
        }
    }
    if out.as_os_str().is_empty() { PathBuf::from(".") } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_join_as_in_go() {
        let cases = [
            ("/etc/p/prometheus.yml", "a/b", "/etc/p/a/b"),
            ("/etc/p/prometheus.yml", "../b", "/etc/b"),
            ("/p.yml", "../../b", "/b"),
            ("/etc/p/prometheus.yml", "/b", "/b"),
            ("/etc/p/prometheus.yml", "", ""),
            ("prometheus.yml", "./a//b", "a/b"),
            ("x/prometheus.yml", "../../a", "../a"),
        ];
        for (file, path, expected) in cases {
            let joined = join(&directory_of(Path::new(file)), path);
            assert_eq!(joined, Path::new(expected), "{file} {path}");
        }
    }
}

//! Texts come from where they should, and patterns mean what they mean in Go.

use std::fs;

use super::*;

fn check_match(pattern: &str, name: &str, expected: Result<bool, PatternError>) {
    assert_eq!(matches(Path::new(pattern), Path::new(name)), expected, "{pattern} {name}");
}

#[test]
fn patterns_mean_what_they_mean_in_go() {
    for (pattern, name, expected) in [
        ("abc", "abc", true),
        ("*", "abc", true),
        ("*", "", true),
        ("*c", "abc", true),
        ("a*", "ab/c", false),
        ("a*/b", "abc/b", true),
        ("a*/b", "a/c/b", false),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
        ("a*b?c*x", "abxbbxdbxebxczzx", true),
        ("a*b?c*x", "abxbbxdbxebxczzy", false),
        ("ab[c]", "abc", true),
        ("ab[b-d]", "abc", true),
        ("ab[^c]", "abc", false),
        ("ab[^e-g]", "abc", true),
        ("a\\*b", "a*b", true),
        ("a\\*b", "axb", false),
        ("[a-ab]", "b", true),
        ("[\\]a]", "]", true),
        ("[\\-x]", "-", true),
        ("a?b", "a/b", false),
        ("a[^x]b", "a/b", false),
        ("*.yml", ".hidden.yml", true),
        ("rules/*.yml", "rules/a.yaml", false),
    ] {
        check_match(pattern, name, Ok(expected));
    }
    for pattern in ["[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[", "[^", "[^bc", "a[", "a[-"]
    {
        check_match(pattern, "a", Err(PatternError));
        check_match(pattern, "", Err(PatternError));
    }
}

#[test]
fn files_are_found_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b/2.yml", "b/1.yml", "a/3.yml", "a/x.txt", "c"] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    let found = |pattern: &str| {
        let found = glob(&folder.path().join(pattern)).unwrap();
        let short =
            |path: &PathBuf| path.strip_prefix(folder.path()).unwrap().display().to_string();
        found.iter().map(short).collect::<Vec<_>>()
    };
    assert_eq!(found("*/*.yml"), ["a/3.yml", "b/1.yml", "b/2.yml"]);
    assert_eq!(found("b/[1]*"), ["b/1.yml"]);
    assert_eq!(found("b/1.yml"), ["b/1.yml"]);
    assert_eq!(found("*"), ["a", "b", "c"]);
    assert_eq!(found("absent/*"), [""; 0]);
    assert_eq!(found("c/*"), [""; 0]);
    assert_eq!(glob(Path::new("[")), Err(PatternError));
}

#[test]
fn kept_texts_replace_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (main, rules) = (folder.path().join("main.yml"), folder.path().join("rules/*.yml"));
    let (old, new) = (folder.path().join("rules/old.yml"), folder.path().join("rules/new.yml"));
    fs::create_dir(folder.path().join("rules")).unwrap();
    fs::write(&main, "disk").unwrap();
    fs::write(&new, "disk").unwrap();

    let mut disk = Sources::of_disk();
    assert_eq!(&*disk.read(&main).unwrap(), b"disk");
    assert_eq!(disk.glob(&rules).unwrap(), std::slice::from_ref(&new));
    disk.read(&new).unwrap();
    assert!(disk.read(&old).unwrap_err().is_missing());
    assert_eq!(disk.patterns(), std::slice::from_ref(&rules));
    assert_eq!(disk.paths().collect::<Vec<_>>(), [&*main, &*new, &*old]);
    assert_eq!(disk.texts().len(), 2);

    let draft = Sources::with_text(&main, b"draft").read(&main).unwrap();
    assert_eq!(&*draft, b"draft");

    let text = |path: &PathBuf| SourceText { path: path.clone(), bytes: b"kept"[..].into() };
    let mut kept = Sources::of_kept([text(&main), text(&old)]);
    assert_eq!(&*kept.read(&main).unwrap(), b"kept");
    assert_eq!(kept.glob(&rules).unwrap(), std::slice::from_ref(&old));
    assert!(kept.read(&new).unwrap_err().is_missing());
}

#[test]
fn the_hash_tells_names_and_order_of_texts() {
    let hash = |texts: &[(&str, &str)]| {
        let all = texts.iter().map(|(path, text)| SourceText {
            path: PathBuf::from(path),
            bytes: text.as_bytes().into(),
        });
        let mut sources = Sources::of_kept(all);
        for (path, _) in texts {
            sources.read(Path::new(path)).unwrap();
        }
        sources.content_hash()
    };
    let base = hash(&[("a", "x"), ("b", "y")]);
    assert_eq!(base, hash(&[("a", "x"), ("b", "y")]));
    for other in [
        &[("a", "x")][..],
        &[("a", "x"), ("c", "y")],
        &[("b", "y"), ("a", "x")],
        &[("a", "xb"), ("", "y")],
    ] {
        assert_ne!(base, hash(other), "{other:?}");
    }
}

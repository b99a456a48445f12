//! Expressions compared with the reference's answers: the texts of errors are those of the real server.

use proptest::prelude::*;

use super::*;

/// Whether the texts match, as a string of `y` and `n`.
fn answers(pattern: &str, texts: &[&str]) -> String {
    let regex = GoRegex::anchored(pattern).unwrap();
    texts.iter().map(|text| if regex.is_match(text) { 'y' } else { 'n' }).collect()
}

/// Pattern, what is wrong, and the part to blame.
const REFUSED: &[(&str, &str, &str)] = &[
    ("a(b", "missing closing )", "a(b"),
    ("a**", "invalid nested repetition operator", "**"),
    ("x{1001}", "invalid repeat count", "{1001}"),
    ("(?x)", "invalid or unsupported Perl syntax", "(?x"),
    ("(?P<n", "invalid named capture", "(?P<n"),
    ("(?P<n-a>b)", "invalid named capture", "(?P<n-a>"),
    ("(?P<>b)", "invalid named capture", "(?P<>"),
    ("(?i", "invalid or unsupported Perl syntax", "(?i"),
    ("(?", "invalid or unsupported Perl syntax", "(?"),
    ("(?i-", "invalid or unsupported Perl syntax", "(?i-"),
    ("(?i-)", "invalid or unsupported Perl syntax", "(?i-)"),
    ("(?-i-s)", "invalid or unsupported Perl syntax", "(?-i-"),
    ("(?a)", "invalid or unsupported Perl syntax", "(?a"),
    ("a)", "unexpected )", "a)"),
    (r#"\p{Foo}"#, "invalid character class range", r#"\p{Foo}"#),
    (r#"\p{Greek"#, "invalid character class range", r#"\p{Greek"#),
    (r#"\p"#, "invalid character class range", r#"\p"#),
    ("[[:foo:]]", "invalid character class range", "[:foo:]"),
    ("[a", "missing closing ]", "[a"),
    ("[z-a]", "invalid character class range", "z-a"),
    (r#"[a-\d]"#, "invalid escape sequence", r#"\d"#),
    (r#"\8"#, "invalid escape sequence", r#"\8"#),
    (r#"\1"#, "invalid escape sequence", r#"\1"#),
    (r#"\C"#, "invalid escape sequence", r#"\C"#),
    (r#"a\"#, "trailing backslash at end of expression", ""),
    ("*", "missing argument to repetition operator", "*"),
    ("|*", "missing argument to repetition operator", "*"),
    ("(*)", "missing argument to repetition operator", "*"),
    ("a|*", "missing argument to repetition operator", "*"),
    ("a{2}{3}", "invalid nested repetition operator", "{2}{3}"),
    ("a*?*", "invalid nested repetition operator", "*?*"),
    ("(?:a{1000}){2}", "invalid repeat count", "{2}"),
    ("a{2,1}", "invalid repeat count", "{2,1}"),
    (r#"\x{110000}"#, "invalid escape sequence", r#"\x{110000"#),
    (r#"\xg"#, "invalid escape sequence", r#"\xg"#),
    (r#"\x{}"#, "invalid escape sequence", r#"\x{}"#),
    ("(?=a)", "invalid or unsupported Perl syntax", "(?="),
    ("(?!a)", "invalid or unsupported Perl syntax", "(?!"),
    ("(?>a)", "invalid or unsupported Perl syntax", "(?>"),
    ("(?#c)", "invalid or unsupported Perl syntax", "(?#"),
    ("a++", "invalid nested repetition operator", "++"),
    (r#"\p{Letter}"#, "invalid character class range", r#"\p{Letter}"#),
    (r#"\p{letter}"#, "invalid character class range", r#"\p{letter}"#),
    (r#"\p{Lu"#, "invalid character class range", r#"\p{Lu"#),
    (r#"\p{sc=Greek}"#, "invalid character class range", r#"\p{sc=Greek}"#),
    (r#"\p{Alphabetic}"#, "invalid character class range", r#"\p{Alphabetic}"#),
    (r#"\p{Cased_Letter}"#, "invalid character class range", r#"\p{Cased_Letter}"#),
    (r#"\p{Grek}"#, "invalid character class range", r#"\p{Grek}"#),
    (r#"\p{g r_e-ek}"#, "invalid character class range", r#"\p{g r_e-ek}"#),
    (r#"\p{ASCII}"#, "invalid character class range", r#"\p{ASCII}"#),
    (r#"\p{Assigned}"#, "invalid character class range", r#"\p{Assigned}"#),
    (r#"[\Qa\E]"#, "invalid escape sequence", r#"\Q"#),
    (r#"\E"#, "invalid escape sequence", r#"\E"#),
    ("(?i)(?-", "invalid or unsupported Perl syntax", "(?-"),
    ("a{1,99999999999}", "invalid repeat count", "{1,99999999999}"),
    ("a{1001,}", "invalid repeat count", "{1001,}"),
    ("a{0}*", "invalid nested repetition operator", "{0}*"),
    ("\\\u{e9}", "invalid escape sequence", "\\\u{e9}"),
    ("[]", "missing closing ]", "[]"),
    ("[^]", "missing closing ]", "[^]"),
    (r#"[\8]"#, "invalid escape sequence", r#"\8"#),
    ("(?P=n)", "invalid or unsupported Perl syntax", "(?P"),
    ("(?P>n)", "invalid or unsupported Perl syntax", "(?P"),
    ("(?P<n>a", "missing closing )", "(?P<n>a"),
    ("((((a", "missing closing )", "((((a"),
    ("(?P<\u{e9}>b)", "invalid named capture", "(?P<\u{e9}>"),
    (r#"\Z"#, "invalid escape sequence", r#"\Z"#),
    (r#"\G"#, "invalid escape sequence", r#"\G"#),
    (r#"\K"#, "invalid escape sequence", r#"\K"#),
    (r#"\R"#, "invalid escape sequence", r#"\R"#),
    (r#"\X"#, "invalid escape sequence", r#"\X"#),
    (r#"\h"#, "invalid escape sequence", r#"\h"#),
    (r#"\N"#, "invalid escape sequence", r#"\N"#),
    ("(?i:a", "missing closing )", "(?i:a"),
    ("a(?i", "invalid or unsupported Perl syntax", "(?i"),
    ("x{2}*", "invalid nested repetition operator", "{2}*"),
    ("x{0,1001}", "invalid repeat count", "{0,1001}"),
    ("(x{10}){101}", "invalid repeat count", "{101}"),
    ("((x{10}){10}){11}", "invalid repeat count", "{11}"),
    ("(x{0}){1001}", "invalid repeat count", "{1001}"),
    ("(?:(?:x{0,}){1000}){1000}", "invalid repeat count", "{1000}"),
    ("a{1}{2}", "invalid nested repetition operator", "{1}{2}"),
    ("a{1}?{2}", "invalid nested repetition operator", "{1}?{2}"),
    ("[a--]", "invalid character class range", "a--"),
    ("[a-[:digit:]]", "invalid character class range", "a-["),
    (r#"\x4"#, "invalid escape sequence", r#"\x4"#),
    ("\\x\u{e9}", "invalid escape sequence", "\\x\u{e9}"),
    (r#"\x{zz}"#, "invalid escape sequence", r#"\x{z"#),
    (r#"\p{}"#, "invalid character class range", r#"\p{}"#),
    (r#"\p{Nope"#, "invalid character class range", r#"\p{Nope"#),
    (r#"\p{InGreek}"#, "invalid character class range", r#"\p{InGreek}"#),
    (r#"[\p{Foo}]"#, "invalid character class range", r#"\p{Foo}"#),
    (r#"[\pN"#, "missing closing ]", r#"[\pN"#),
    (r#"\"#, "trailing backslash at end of expression", ""),
    (r#"[\"#, "trailing backslash at end of expression", ""),
    (r#"[a\"#, "trailing backslash at end of expression", ""),
    (")(", "unexpected )", ")("),
    ("())", "unexpected )", "())"),
    ("(?:", "missing closing )", "(?:"),
    (r#"\u0041"#, "invalid escape sequence", r#"\u"#),
    (r#"\cA"#, "invalid escape sequence", r#"\c"#),
];

/// What looks odd and is fine.
const ACCEPTED: &[&str] = &[
    "(?P<n>a)(?P<n>b)",
    "(?<n>a)",
    r#"\pZZ"#,
    "a{,2}",
    r#"\Qab"#,
    r#"\Qa"#,
    r#"\pN"#,
    r#"\p{LC}"#,
    r#"\p{Cn}"#,
    r#"\p{Any}"#,
    "[[.a.]]",
    "[[=a=]]",
    r#"\_"#,
    "[^]a]",
    "[]a]",
    "a(?i)*",
    "^*",
    "$*",
    r#"\b+"#,
    "(?:)*",
    "()*",
    r#"\x{10ffff}"#,
    r#"\07"#,
    r#"\08"#,
    "(?m-s:^a$)",
    "(?P<1a>b)",
    r#"\z"#,
    r#"\A"#,
    "(?P<n>)",
    "(?U)a*?",
    "[a-z-9]",
    "[--a]",
    "[[:digit:]-z]",
    r#"[\d-z]"#,
    "[[:^alpha:]]",
    "[[:word:]]",
    r#"\p{^Greek}"#,
    r#"\P{^Greek}"#,
    r#"\pL"#,
    r#"\p{L}"#,
    "|",
    "||",
    "(|)",
];

#[test]
fn errors_are_those_of_the_reference() {
    for (pattern, code, expression) in REFUSED {
        let err = GoRegex::anchored(pattern).expect_err(pattern);
        let expected = format!("error parsing regexp: {code}: `{expression}`");
        assert_eq!(err.to_string(), expected);
    }
    let err = GoRegex::enclosed("a(b").unwrap_err();
    assert_eq!(err.to_string(), "error parsing regexp: missing closing ): `^(?s:a(b)$`");
    let err = GoRegex::enclosed("a\\").unwrap_err();
    assert_eq!(err.to_string(), "error parsing regexp: missing closing ): `^(?s:a\\)$`");
    let err = GoRegex::unanchored("a)").unwrap_err();
    assert_eq!(err.to_string(), "error parsing regexp: unexpected ): `a)`");
}

#[test]
fn odd_expressions_are_accepted() {
    for pattern in ACCEPTED {
        GoRegex::anchored(pattern).expect(pattern);
        // Only an open quotation swallows what encloses it.
        let is_open = pattern.contains("\\Q");
        assert_eq!(GoRegex::enclosed(pattern).is_err(), is_open, "{pattern}");
    }
}

#[test]
fn meaning_is_that_of_go() {
    let check = |pattern: &str, texts: &[&str], expected: &str| {
        assert_eq!(answers(pattern, texts), expected, "{pattern}");
        if let Ok(enclosed) = GoRegex::enclosed(pattern) {
            for (text, answer) in texts.iter().zip(expected.chars()) {
                assert_eq!(enclosed.is_match(text), answer == 'y', "{pattern} {text}");
                assert_eq!(enclosed.captures(text).is_some(), answer == 'y', "{pattern} {text}");
            }
        }
    };
    // Perl's classes and the boundary of words are ASCII; the dot matches line feeds.
    check("\\d", &["1", "\u{661}", ""], "ynn");
    check("\\w+", &["a_1", "\u{e9}"], "yn");
    check("\\s", &[" ", "\t", "\u{b}", "\u{a0}"], "yynn");
    check("[[:space:]]", &["\u{b}"], "y");
    check(".*\\bx", &["\u{e9}x", "ax", " x"], "yny");
    check("a.b", &["a\nb", "a\u{1f600}b", "ab"], "yyn");
    check("(?-s)a.b", &["a\nb", "axb"], "ny");
    // Sets are no operations of classes.
    check("[a&&b]", &["a", "&", "b"], "yyy");
    check("[+--b]", &[",", "b", "+-"], "yyn");
    check("[[a]", &["[", "a", "b"], "yyn");
    check("[\\w-,]", &["-", ",", "x"], "yyy");
    check("[]a]", &["]", "a"], "yy");
    check("[^]a]", &["]", "b"], "ny");
    // Braces, octal codes, quotations.
    check("x{", &["x{"], "y");
    check("a{,2}", &["a{,2}", "a"], "yn");
    check("a{01}", &["a{01}"], "y");
    check("a{gid}", &["a{gid}"], "y");
    check("\\101", &["A"], "y");
    check("\\Qa.b\\E+", &["a.b", "a.bb", "axb"], "yyn");
    check("\\Qa.b", &["a.b"], "y");
    check("\\x{e9}\\xe9", &["\u{e9}\u{e9}"], "y");
    // Case: the long s and the Kelvin sign are folded, and so are classes.
    check("(?i)ks", &["KS", "ks", "\u{212a}\u{17f}", "xs"], "yyyn");
    check("(?i)[k]\\w", &["\u{212a}\u{17f}"], "y");
    check("(?i)\\W", &["\u{17f}", "\u{e9}"], "ny");
    check("(?i)\\p{Lu}", &["a", "A", "1"], "yyn");
    check("(?i:a)b", &["Ab", "AB"], "yn");
    check("a(?i)b|c", &["aB", "AB", "C"], "yny");
    // Categories and scripts.
    check("\\pL\\p{Greek}\\P{Greek}", &["a\u{3b2}b", "ab\u{3b2}"], "yn");
    check("\\p{^Greek}", &["a", "\u{3b2}"], "yn");
    check("[\\pN_]", &["\u{661}", "_", "a"], "yyn");
    // Anchors say nothing new at the ends, and something in the middle.
    check("^a$", &["a", "ba"], "yn");
    check("(^a|b$)c?", &["a", "b", "ac", "bc"], "yyyn");
    check("(?m)a$\\n^b", &["a\nb"], "y");
    check("a$\\n", &["a\n"], "n");
    // Nothing, and repetitions of nothing.
    check("", &["", "a"], "yn");
    check("a||b", &["", "a", "b"], "yyy");
    check("(|a)*", &["", "aaa"], "yy");
    check("a(?i)*", &["", "aa", "A"], "yyn");
    check("(a){0}b", &["b", "ab"], "yn");
    check("[^\\x00-\\x{10ffff}]", &["", "a"], "nn");
    check("\\x{d800}|a", &["a", ""], "yn");
}

#[test]
fn patterns_may_close_the_enclosing_group() {
    let regex = GoRegex::enclosed("a)|(?:b").unwrap();
    let matches = ["ax", "xb", "x"].map(|text| regex.is_match(text));
    assert_eq!(matches, [true, true, false]);
}

#[test]
fn few_strings_are_told() {
    let check = |pattern: &str, expected: Option<&[&str]>| {
        let regex = GoRegex::anchored(pattern).unwrap();
        let literals = regex.literals().map(|l| l.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(literals.as_deref(), expected, "{pattern}");
    };
    check("foo", Some(&["foo"]));
    check("", Some(&[""]));
    check("c|(a|b)", Some(&["a", "b", "c"]));
    check("^(foo|foo|bar)$", Some(&["bar", "foo"]));
    check("a[0-2]?", Some(&["a", "a0", "a1", "a2"]));
    check("prod\\.(eu|us)-[12]", Some(&["prod.eu-1", "prod.eu-2", "prod.us-1", "prod.us-2"]));
    check("(?i)ab", Some(&["AB", "Ab", "aB", "ab"]));
    check("\u{e9}|\u{ea}", Some(&["\u{e9}", "\u{ea}"]));
    check("[^\\x00-\\x{10ffff}]", Some(&[]));
    check("a*", None);
    check("foo.*", None);
    check("a$b", None);
    check("[a-z]{2}", None);
    check(&vec!["x"; 256].join("|"), Some(&["x"]));
    let many: Vec<String> = (0..257).map(|i| format!("s{i}")).collect();
    check(&many.join("|"), None);
    assert_eq!(answers(&many.join("|"), &["s0", "s256", "s257", "s"]), "yynn");
}

#[test]
fn prefix_and_suffix_are_told() {
    let check = |pattern: &str, prefix: Option<&str>, suffix: Option<&str>| {
        let regex = GoRegex::anchored(pattern).unwrap();
        assert_eq!((regex.prefix(), regex.suffix()), (prefix, suffix), "{pattern}");
    };
    check("foo.*", Some("foo"), None);
    check("foo.+bar", Some("foo"), Some("bar"));
    check(".*bar", None, Some("bar"));
    check(".*", None, None);
    check("foo[a-z]+bar", Some("foo"), Some("bar"));
    check("(foo|fox)[0-9]*(z|yz)", Some("fo"), Some("z"));
    check("foobar|foobaz", Some("fooba"), None);
    check("\u{e9}\\d+|\u{ea}\\d+", None, None);
    check("\\d+\u{e9}|\\d+\u{129}", None, None);
    check("(?i)foo.*", None, None);
    check("$foo\\d+", None, None);
    let everything = |pattern| GoRegex::anchored(pattern).unwrap().matches_everything();
    assert!(everything(".*") && everything("^(.*)$") && everything(".*.*"));
    assert!(!everything(".+") && !everything("(?-s).*") && !everything("a*"));
    assert!(!GoRegex::unanchored("(?s).*").unwrap().matches_everything());
}

#[test]
fn globs_find_their_literals_in_order() {
    let check = |pattern: &str, texts: &[&str], expected: &str| {
        let regex = GoRegex::anchored(pattern).unwrap();
        assert!(matches!(regex.plan, Plan::Glob(_)), "{pattern}");
        assert_eq!(answers(pattern, texts), expected, "{pattern}");
    };
    check(".*", &["", "a", "\n"], "yyy");
    check(".+", &["", "a", "\u{e9}"], "nyy");
    check(".{2,}", &["\u{e9}", "\u{e9}a"], "ny");
    check("foo.*", &["foo", "foobar", "fo", "xfoo"], "yynn");
    check("foo.+", &["foo", "foox"], "ny");
    check(".*foo", &["foo", "xfoo", "foofoo", "foox"], "yyyn");
    check(".+foo", &["foo", "\u{e9}foo", "foofoo"], "nyy");
    check(".*foo.*", &["foo", "afoob", "fo"], "yyn");
    check(".+foo.+", &["foo", "afoo", "foob", "afoob", "foofoofoo", "foofoo"], "nnnyyn");
    check("ab.*ba", &["aba", "abba", "abxba", "ab"], "nyyn");
    check("a.*b.*c", &["abc", "axbxc", "acb", "abcabc"], "yyny");
    check(".*a.+a.*", &["aa", "axa", "aaa"], "nyy");
}

#[test]
fn size_and_depth_are_limited() {
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(GoRegex::anchored(&nested(999)).unwrap().captures("a").is_some());
    let err = GoRegex::anchored(&nested(1000)).unwrap_err();
    assert_eq!(err.code, RegexErrorCode::NestingDepth);
    assert_eq!(answers(&format!("{}a{}", "(?:".repeat(9000), ")".repeat(9000)), &["a"]), "y");
    let deep = format!("{}a{}", "(?:".repeat(1001), ")*".repeat(1001));
    assert_eq!(GoRegex::anchored(&deep).unwrap_err().code, RegexErrorCode::NestingDepth);
    let err = GoRegex::anchored(&"[\\pL\\pN]{1000}".repeat(20)).unwrap_err();
    assert!(err.to_string().starts_with("error parsing regexp: expression too large: `["));
    assert_eq!(answers("[a-c]{1000}", &["a"]), "n");
}

proptest! {
    #[test]
    fn foreign_patterns_never_panic(
        pattern in r#"([\\()\[\]{}*+?|^$.,:=<>!aQEpPxidw01\-\u{e9}]|\(\?P<|\(\?|\[:|\{2\}|\{1,|\\p\{|:\]){0,16}"#,
        text in "[a-c1\u{e9}\n]{0,6}",
    ) {
        for regex in [GoRegex::anchored(&pattern), GoRegex::enclosed(&pattern), GoRegex::unanchored(&pattern)] {
            let Ok(regex) = regex else { continue };
            let captures = regex.captures(&text);
            prop_assert_eq!(captures.is_some(), regex.is_match(&text));
            regex.replace_all(&text, "$1");
        }
    }

    #[test]
    fn literals_and_engine_agree(
        pattern in "(a|b|ab|c|[ab]|a\\?|b\\{1,2\\}|\\(|\\)\\??|\\||\\.\\*|\\.\\+){0,8}",
        text in "[abc]{0,6}",
    ) {
        let Ok(regex) = GoRegex::anchored(&pattern) else { return Ok(()) };
        // Without anchors stripped and plans made, the engine alone decides.
        let plain = GoRegex::unanchored(&format!("^(?s:(?:{pattern}))$")).unwrap();
        prop_assert_eq!(regex.is_match(&text), plain.is_match(&text));
        if let Some(literals) = regex.literals() {
            prop_assert_eq!(literals.contains(&text), plain.is_match(&text));
            prop_assert!(literals.is_sorted());
        }
        if regex.is_match(&text) {
            prop_assert!(text.starts_with(regex.prefix().unwrap_or_default()));
            prop_assert!(text.ends_with(regex.suffix().unwrap_or_default()));
        }
    }
}

//! Kubeconfig files, good and bad.

use super::*;

/// The current context names the cluster `c` and the user `u`.
fn access(cluster: &str, user: &str) -> Result<Access, String> {
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: x,
contexts: [{{name: other, context: {{cluster: none, user: none}}}}, {{name: x, context: {{cluster: c, user: u, namespace: n}}}}],
clusters: [{{name: c, cluster: {{{cluster}}}}}],
users: [{{name: u, user: {{{user}}}}}], preferences: {{}}}}"
    );
    parse(&text, Path::new("/etc/kube"))
}

#[test]
fn a_context_names_a_server_and_who_asks_it() {
    let got = access(
        "server: https://c.test:6443, certificate-authority: ca.pem, tls-server-name: name",
        "client-certificate: /abs/c.pem, client-key-data: 'LS0tCg=='",
    )
    .unwrap();
    assert_eq!(got.server, "https://c.test:6443");
    let tls = &got.http_client.tls;
    assert_eq!(tls.ca_file, Path::new("/etc/kube/ca.pem"));
    assert_eq!((tls.cert_file.as_path(), tls.key.reveal()), (Path::new("/abs/c.pem"), "---\n"));
    assert_eq!((tls.server_name.as_str(), &got.http_client.auth), ("name", &None));

    let server = "server: https://c.test";
    let auth = |user: &str| access(server, user).unwrap().http_client.auth;
    let token = bearer(Source::Inline(Secret::new("t")));
    assert_eq!(auth("token: t, username: n, password: p"), Some(token));
    let file = bearer(Source::File("/etc/kube/t.txt".into()));
    assert_eq!(auth("token: t, tokenFile: t.txt"), Some(file));
    assert!(matches!(auth("username: n, password: p"), Some(HttpAuth::Basic { .. })));
    assert_eq!(auth(""), None);

    let user = "as: somebody, as-groups: [g1, g2], as-user-extra: {k: [v]}";
    let headers = access(server, user).unwrap().http_client.http_headers;
    let shown: Vec<_> = headers.iter().map(|it| (it.name.as_str(), it.values.join(","))).collect();
    let expected = [("User", "somebody"), ("Group", "g1,g2"), ("Extra-k", "v")];
    let expected = expected.map(|(name, value)| (format!("Impersonate-{name}"), value.to_owned()));
    assert_eq!(shown, expected.each_ref().map(|(name, value)| (name.as_str(), value.clone())));
    let proxied = access("server: https://c.test, proxy-url: 'http://p:1'", "").unwrap();
    assert_eq!(proxied.http_client.proxy.proxy_url, Some(Url::parse("http://p:1").unwrap()));
}

/// The keys of a user whose program these describe.
fn exec(keys: &str) -> String {
    format!("exec: {{{}}}", keys.replace("K8S", "client.authentication.k8s.io"))
}

#[test]
fn a_program_is_told_what_it_may_know() {
    let server = "server: 'https://c.test', tls-server-name: n, certificate-authority-data: 'LS0tCg==', \
         extensions: [{name: other, extension: 1}, {name: client.authentication.k8s.io/exec, extension: {audience: [a, 1]}}]";
    let user = exec(
        "apiVersion: K8S/v1, command: ./bin/tool, args: [get-token, --x], env: [{name: A, value: b}], \
         interactiveMode: IfAvailable, provideClusterInfo: true, installHint: hint",
    );
    let plugin = access(server, &user).unwrap().plugin.unwrap();
    assert_eq!(plugin.program.command, Path::new("/etc/kube/./bin/tool"));
    assert_eq!(plugin.program.args, ["get-token", "--x"]);
    assert_eq!((plugin.install_hint.as_str(), plugin.program.env.len()), ("hint", 2));
    assert_eq!(plugin.program.env[0], ("A".to_owned(), "b".to_owned()));
    let (name, info) = &plugin.program.env[1];
    let info: Value = serde_json::from_str(info).unwrap();
    assert_eq!(name, "KUBERNETES_EXEC_INFO");
    let expected = json!({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "spec": {
        "interactive": false,
        "cluster": {"server": "https://c.test", "tls-server-name": "n", "certificate-authority-data": "LS0tCg==",
                    "config": {"audience": ["a", 1]}}}});
    assert_eq!(info, expected);
    let short = access(server, &exec("apiVersion: K8S/v1beta1, command: tool")).unwrap();
    let plugin = short.plugin.unwrap();
    assert_eq!(plugin.program.command, Path::new("tool"));
    assert!(!plugin.program.env[0].1.contains("cluster"));
    let with_token = access(server, &format!("token: t, {user}")).unwrap();
    assert_eq!(with_token.plugin, None, "a token takes its place");
}

#[test]
fn what_cannot_be_used_is_named_and_shows_no_secret() {
    let server = "server: https://c.test";
    for (got, expected) in [
        (access("", ""), "cluster \"c\" has no server"),
        (access(server, &exec("command: aws")), "apiVersion must be specified for u to use exec"),
        (
            access(server, &exec("apiVersion: K8S/v1")),
            "command must be specified for u to use exec",
        ),
        (
            access(server, &exec("command: aws, apiVersion: K8S/v1")),
            "interactiveMode must be specified for u to use exec",
        ),
        (
            access(server, &exec("command: aws, apiVersion: K8S/v1beta1, env: [{value: secret}]")),
            "env variable name must be specified for u",
        ),
        (
            access(server, &exec("command: aws, apiVersion: K8S/v1alpha1")),
            "exec plugin: invalid apiVersion \"client.authentication.k8s.io/v1alpha1\"",
        ),
        (
            access(server, &exec("command: aws, apiVersion: K8S/v1, interactiveMode: Always")),
            "exec plugin cannot support interactive mode",
        ),
        (
            access(server, &exec("command: aws, apiVersion: K8S/v1, interactiveMode: Perhaps")),
            "invalid interactiveMode for u: \"Perhaps\"",
        ),
        (
            access(
                "server: https://c.test, certificate-authority: /nowhere/ca.pem",
                &exec("command: aws, apiVersion: K8S/v1beta1, provideClusterInfo: true"),
            ),
            "open /nowhere/ca.pem: ",
        ),
        (access(server, "auth-provider: {name: gcp}"), "auth-provider \"gcp\""),
        (access(server, "client-key-data: 'no base64'"), "client-key-data is not a text in base64"),
        (
            access("server: x, insecure-skip-tls-verify: true, certificate-authority: a", ""),
            "with the insecure flag is not allowed",
        ),
        (parse("current-context: a", Path::new("")), "context \"a\" does not exist"),
        (parse("{}", Path::new("")), "no current-context is set"),
        (parse("", Path::new("")), "no"),
        (access(server, "token: [secret]"), "not a kubeconfig at line"),
        (parse("\0garbage: [", Path::new("")), "not a kubeconfig"),
    ] {
        let reason = got.unwrap_err();
        assert!(reason.contains(expected) && !reason.contains("secret"), "{expected}: {reason}");
    }
    let missing = read(Path::new("/nowhere/kube")).unwrap_err();
    assert!(missing.starts_with("open /nowhere/kube: "), "{missing}");
}

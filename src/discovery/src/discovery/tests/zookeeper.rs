//! A small ZooKeeper of the test's own: connect, getData, getChildren2, ping, watches that fire once.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::*;

/// Nodes by path.
type Nodes = BTreeMap<String, String>;

/// What nodes there are, and how often every connection has been cut.
#[derive(Clone, Default)]
struct World {
    nodes: Nodes,
    cut_count: usize,
}

struct FakeZookeeper {
    port: u16,
    world: Arc<watch::Sender<World>>,
}

impl FakeZookeeper {
    #[expect(clippy::disallowed_methods, reason = "a server of a test needs no supervisor")]
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let world = Arc::new(watch::channel(World::default()).0);
        let shared = Arc::clone(&world);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.subscribe()));
            }
        });
        Self { port, world }
    }

    fn put(&self, path: &str, data: &str) {
        self.world.send_modify(|world| drop(world.nodes.insert(path.to_owned(), data.to_owned())));
    }

    fn delete(&self, path: &str) {
        self.world.send_modify(|world| drop(world.nodes.remove(path)));
    }

    fn cut(&self) {
        self.world.send_modify(|world| world.cut_count += 1);
    }
}

fn children(nodes: &Nodes, path: &str) -> Vec<String> {
    let below = nodes.keys().filter_map(|other| other.strip_prefix(path)?.strip_prefix('/'));
    below.filter(|name| !name.contains('/')).map(str::to_owned).collect()
}

async fn frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = vec![0; stream.read_u32().await.ok()? as usize];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

async fn serve(mut stream: TcpStream, mut world: watch::Receiver<World>) {
    let Some(hello) = frame(&mut stream).await else { return };
    let timeout = &hello[12..16];
    let reply = [&[0; 4][..], timeout, &7u64.to_be_bytes(), &text(&[1; 16]), &[0]].concat();
    stream.write_all(&text(&reply)).await.unwrap();
    let mut known = world.borrow_and_update().clone();
    // Paths whose data and whose children are watched.
    let (mut of_data, mut of_children) = (HashSet::new(), HashSet::new());
    loop {
        tokio::select! {
            request = frame(&mut stream) => {
                let Some(request) = request else { return };
                let kind = i32::from_be_bytes(request[4..8].try_into().unwrap());
                let (mut error, mut body) = (0i32, Vec::new());
                if kind == 4 || kind == 12 {
                    let path = String::from_utf8(request[12..request.len() - 1].to_vec()).unwrap();
                    assert_eq!(request.last(), Some(&1), "a watch is asked for");
                    match known.nodes.get(&path) {
                        None => error = -101,
                        Some(data) if kind == 4 => body = text(data.as_bytes()),
                        Some(_) => {
                            let names = children(&known.nodes, &path);
                            body.extend((names.len() as u32).to_be_bytes());
                            body.extend(names.iter().flat_map(|name| text(name.as_bytes())));
                        }
                    }
                    if error == 0 {
                        body.extend([0; 68]);
                        if kind == 4 { of_data.insert(path) } else { of_children.insert(path) };
                    }
                }
                let reply = [&request[..4], &9u64.to_be_bytes(), &error.to_be_bytes(), &body].concat();
                stream.write_all(&text(&reply)).await.unwrap();
            }
            changed = world.changed() => {
                if changed.is_err() { return }
                let now = world.borrow_and_update().clone();
                if now.cut_count != known.cut_count { return }
                let mut fired = Vec::new();
                of_data.retain(|path| {
                    let is_same = now.nodes.get(path) == known.nodes.get(path);
                    if !is_same { fired.push(path.clone()) }
                    is_same
                });
                of_children.retain(|path| {
                    let is_same = children(&now.nodes, path) == children(&known.nodes, path);
                    if !is_same { fired.push(path.clone()) }
                    is_same
                });
                for path in fired {
                    let event = [&(-1i32).to_be_bytes()[..], &[0; 12], &[0, 0, 0, 3, 0, 0, 0, 3], &text(path.as_bytes())].concat();
                    stream.write_all(&text(&event)).await.unwrap();
                }
                known = now;
            }
        }
    }
}

fn member(host: &str) -> String {
    format!("{{\"host\": \"{host}\", \"port\": 1, \"name\": \"n\"}}")
}

fn job(port: u16, mechanism: &str) -> String {
    format!(
        "- {{job_name: a, {mechanism}_sd_configs: [{{servers: ['127.0.0.1:{port}'], paths: [/s, /t], timeout: 2s}}]}}"
    )
}

#[tokio::test]
async fn members_are_read_watched_and_kept_when_the_server_goes() {
    let (house, server) = (House::hasty(), FakeZookeeper::start().await);
    server.put("/s", "");
    server.put("/t", &member("t"));
    for number in 0..200 {
        server.put(&format!("/s/m{number:03}"), &member("x"));
    }
    server.put("/s/m000/deep", &member("deep"));
    server.put("/s/bad", "no member");
    house.reload(&job(server.port, "nerve"));
    let mut expected = vec!["x:1"; 202];
    (expected[1], expected[201]) = ("deep:1", "t:1");
    house.wait_for("a", &expected).await;
    assert_eq!(house.metric("prometheus_treecache_watcher_goroutines"), 204.0);

    let cfg = config(house.folder.path(), &job(server.port, "nerve"));
    let cfg = &cfg.scrape_configs[0].discovery_configs[0];
    assert_eq!(crate::discover_once(cfg, "Prometheus/3.5.0").await.unwrap().len(), 202);

    for number in 3..200 {
        server.delete(&format!("/s/m{number:03}"));
    }
    server.put("/s/m001", &member("y"));
    house.wait_for("a", &["x:1", "deep:1", "y:1", "x:1", "t:1"]).await;
    server.delete("/s/m000/deep");
    server.delete("/s/m000");
    house.wait_for("a", &["y:1", "x:1", "t:1"]).await;

    // While nobody is connected nothing is lost, and nothing is missed afterwards.
    let before = house.discovery.target_set("a");
    server.cut();
    house.wait_for_metric_above("prometheus_treecache_zookeeper_failures_total", 0.0).await;
    assert_eq!(house.discovery.target_set("a"), before);
    server.put("/s/m002", &member("z"));
    server.put("/s/new", &member("w"));
    house.wait_for("a", &["y:1", "z:1", "w:1", "t:1"]).await;
    // A path that is gone has no members; it is told, and watched for.
    server.delete("/t");
    house.wait_for("a", &["y:1", "z:1", "w:1"]).await;
    house.reload("");
    house.wait_for_metric("prometheus_treecache_watcher_goroutines", 0.0).await;
}

#[tokio::test]
async fn a_server_that_speaks_something_else_gives_nothing() {
    let house = House::hasty();
    let other = FakeTarget::start().await;
    let port = other.address().rsplit(':').next().unwrap().parse().unwrap();
    house.reload(&job(port, "serverset"));
    house.wait_for_metric_above("prometheus_treecache_zookeeper_failures_total", 0.0).await;
    assert_eq!(house.targets("a"), [""; 0]);
}

//! What is known of the nodes below some paths, and which have to be read to know more. Pure: whoever reads
//! the nodes tells what they hold.

use std::collections::{BTreeMap, BTreeSet};

use super::session::NodeRead;

/// More nodes than this are no service.
pub(super) const NODE_COUNT_MAX: usize = 500_000;

/// All nodes below the configured paths.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug)]
struct Node {
    data: Vec<u8>,
    children: BTreeSet<String>,
}

impl Tree {
    /// Takes over what a path holds; what has to be read next.
    pub(super) fn note(&mut self, path: &str, read: NodeRead) -> Vec<String> {
        let NodeRead::Node { data, children } = read else {
            self.remove(path);
            return Vec::new();
        };
        let children: BTreeSet<String> = children.into_iter().collect();
        let fresh = Node { data, children };
        let before = self.nodes.insert(path.to_owned(), fresh).map(|old| old.children);
        let before = before.unwrap_or_default();
        let now = &self.nodes[path].children;
        let gone: Vec<_> = before.difference(now).map(|name| child(path, name)).collect();
        let unknown = now.iter().map(|name| child(path, name));
        let unknown = unknown.filter(|path| !self.nodes.contains_key(path)).collect();
        gone.iter().for_each(|path| self.remove(path));
        unknown
    }

    pub(super) fn contains(&self, path: &str) -> bool {
        self.nodes.contains_key(path)
    }

    pub(super) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Paths with what they hold, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node.data.as_slice()))
    }

    fn remove(&mut self, path: &str) {
        let mut gone = vec![path.to_owned()];
        while let Some(path) = gone.pop() {
            if let Some(node) = self.nodes.remove(&path) {
                gone.extend(node.children.iter().map(|name| child(&path, name)));
            }
        }
    }
}

fn child(path: &str, name: &str) -> String {
    format!("{}/{name}", path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_come_and_go_with_their_parents() {
        let mut tree = Tree::default();
        let node = |data: &str, children: &[&str]| NodeRead::Node {
            data: data.into(),
            children: children.iter().map(|name| (*name).to_owned()).collect(),
        };
        let paths = |tree: &Tree| {
            let nodes = tree.iter();
            let nodes =
                nodes.map(|(path, data)| format!("{path}={}", String::from_utf8_lossy(data)));
            nodes.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(tree.note("/s", node("", &["a", "b"])), ["/s/a", "/s/b"]);
        assert_eq!(tree.note("/s/a", node("1", &["x"])), ["/s/a/x"]);
        assert_eq!(tree.note("/s/a/x", node("2", &[])), [""; 0]);
        assert_eq!(tree.note("/s/b", NodeRead::Missing), [""; 0]);
        assert_eq!(paths(&tree), "/s= /s/a=1 /s/a/x=2");
        assert_eq!(tree.note("/s", node("", &["a", "c"])), ["/s/c"]);
        assert_eq!(tree.note("/s", node("", &["c"])), ["/s/c"]);
        assert_eq!(paths(&tree), "/s=");
        tree.note("/s/c", node("3", &[]));
        assert!(tree.contains("/s/c"));
        tree.note("/s", NodeRead::Missing);
        assert_eq!(tree.count(), 0);
        assert_eq!(tree.note("/", node("", &["s"])), ["/s"]);
    }
}

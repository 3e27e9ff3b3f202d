//! Assigns the nodes of a picture to ranks (columns). Also finds the returns (edges that do not lead to a
//! higher rank).

use super::Graph;

/// The rank (column number) of each node, and the direction of each edge.
pub(super) struct Ranking {
    /// The rank (column number) of each node. The START node has rank 0.
    pub(super) ranks: Vec<usize>,
    /// True for each edge that does not lead to a higher rank (column number).
    pub(super) is_return: Vec<bool>,
    /// The position of each node in the order in which the depth-first search reaches the nodes.
    pub(super) visit_order: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    New,
    /// The node is on the path from the root of the depth-first search to the current node.
    Open,
    Closed,
}

/// A depth-first search through the nodes of a graph. A workflow can have hundreds of nodes in a chain, so the
/// search uses no recursion.
struct Search<'a> {
    graph: &'a Graph,
    /// The indexes of the edges that begin at each node.
    outgoing: Vec<Vec<usize>>,
    /// For each node, the number of outgoing edges that the depth-first search has already followed.
    followed: Vec<usize>,
    visits: Vec<Visit>,
    visit_order: Vec<usize>,
    visited: usize,
    /// The indexes of the nodes in the order in which the depth-first search has completed them.
    closed: Vec<usize>,
    is_reachable: Vec<bool>,
    is_return: Vec<bool>,
}

impl<'a> Search<'a> {
    fn new(graph: &'a Graph) -> Self {
        let count = graph.shapes.len();
        let mut outgoing = vec![Vec::new(); count];
        for (index, edge) in graph.edges.iter().enumerate() {
            outgoing[edge.from].push(index);
        }
        Self {
            graph,
            outgoing,
            followed: vec![0; count],
            visits: vec![Visit::New; count],
            visit_order: vec![0; count],
            visited: 0,
            closed: Vec::with_capacity(count),
            is_reachable: vec![false; count],
            is_return: vec![false; graph.edges.len()],
        }
    }

    fn open(&mut self, node: usize, path: &mut Vec<usize>) {
        self.visits[node] = Visit::Open;
        self.visit_order[node] = self.visited;
        self.visited += 1;
        path.push(node);
    }

    fn visit(&mut self, root: usize) {
        if self.visits[root] != Visit::New {
            return;
        }
        let mut path = Vec::new();
        self.open(root, &mut path);
        while let Some(node) = path.last().copied() {
            let Some(edge) = self.outgoing[node].get(self.followed[node]).copied() else {
                self.visits[node] = Visit::Closed;
                self.closed.push(node);
                path.pop();
                continue;
            };
            self.followed[node] += 1;
            let to = self.graph.edges[edge].to;
            match self.visits[to] {
                Visit::New => self.open(to, &mut path),
                Visit::Open => self.is_return[edge] = true,
                // An edge from an unreachable node to a reachable node is a return (an edge that does not lead to the
                // right). The reason is that unreachable nodes have higher ranks (columns) than all reachable nodes.
                Visit::Closed => {
                    self.is_return[edge] = self.is_reachable[to] && !self.is_reachable[node];
                }
            }
        }
    }
}

impl Ranking {
    /// Computes the rank of each node: the length of the longest path from a start node to this node. Nodes
    /// without a path from a start node get higher ranks than all other nodes.
    pub(super) fn new(graph: &Graph) -> Self {
        let count = graph.shapes.len();
        let mut search = Search::new(graph);
        for start in &graph.starts {
            search.visit(*start);
        }
        let reachable_count = search.closed.len();
        for node in &search.closed {
            search.is_reachable[*node] = true;
        }
        let mut is_target = vec![false; count];
        for edge in &graph.edges {
            is_target[edge.to] = true;
        }
        // The depth-first search of the unreachable nodes begins at the nodes without incoming edges. The edges of
        // these nodes therefore point to the right.
        let sources = (0..count).filter(|node| !is_target[*node]);
        for node in sources.chain(0..count) {
            search.visit(node);
        }
        // The loop uses the reverse of the order in which the depth-first search completed the nodes. In this order,
        // every edge leads to a later node, except returns (edges that do not lead to the right).
        let mut ranks = vec![0_usize; count];
        for node in search.closed.iter().rev() {
            for edge in &search.outgoing[*node] {
                let to = graph.edges[*edge].to;
                if !search.is_return[*edge] {
                    ranks[to] = ranks[to].max(ranks[*node] + 1);
                }
            }
        }
        let (reachable, unreachable) = search.closed.split_at(reachable_count);
        let first_free = reachable.iter().map(|node| ranks[*node] + 1).max();
        for node in unreachable {
            ranks[*node] += first_free.unwrap_or(0);
        }
        Self {
            ranks,
            is_return: search.is_return,
            visit_order: search.visit_order,
        }
    }
}

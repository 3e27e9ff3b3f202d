//! Orders the nodes and the bends of edges in each rank (column) of a picture, and computes their vertical
//! positions.

use super::ranks::Ranking;
use super::{Graph, whole};

/// The number of passes that improve the order of the nodes and edge bends in all ranks (columns). Passes from left to
/// right alternate with passes from right to left.
const ORDER_SWEEPS: usize = 8;
/// The number of passes that improve the vertical positions of all nodes and edge bends. Passes from left to right
/// alternate with passes from right to left.
const LEVEL_SWEEPS: usize = 12;
/// Averages of positions are calculated with integers. The sum of the positions is first multiplied by this factor, so
/// that the average keeps its fraction.
const SCALE: i64 = 1024;
/// Minimum vertical distance between two nodes of one rank (column), in pixels.
const BOX_GAP: i64 = 24;
/// Minimum vertical distance between the line of an edge and another line or a node in the same rank (column),
/// in pixels.
const LINE_GAP: i64 = 8;
/// The height of the empty space above and below the line of an edge that passes a rank (column), in pixels.
const LINE_SPACE: i64 = 8;
/// The additional height above the line of an edge that has its label in this rank (column), in pixels.
const LABEL_SPACE: i64 = 12;
/// The weight of a bend (the place at which an edge passes a rank) in the computation of vertical positions. A
/// node has the weight 1. A bend has a higher weight, so long lines become straight.
const BEND_WEIGHT: i64 = 4;

/// The height that an item (a node or the bend of an edge) needs above and below its center line, in pixels.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    pub(super) above: i64,
    pub(super) below: i64,
}

/// A node, or a bend (the place at which an edge passes a rank). A rank is a column of the picture.
struct Item {
    extent: Extent,
    is_bend: bool,
    /// The sort key for the first order of the nodes and bends in a rank (column).
    key: usize,
    /// The indexes of the connected nodes and bends in the rank (column) to the left.
    left: Vec<usize>,
    /// The indexes of the connected nodes and bends in the rank (column) to the right.
    right: Vec<usize>,
    /// The current position of the node or bend in the order of its rank (column).
    place: i64,
    y: i64,
}

/// The items of all ranks (columns). An item is a node or the bend of an edge. The nodes are the first items,
/// in the order of the graph.
pub(super) struct Grid {
    items: Vec<Item>,
    /// The indexes of the nodes and bends in each rank (column), from top to bottom.
    layers: Vec<Vec<usize>>,
    /// The indexes of the nodes and bends of each edge, from the source node to the target node. The list is
    /// empty for a return (an edge that does not lead to the right).
    pub(super) chains: Vec<Vec<usize>>,
}

impl Grid {
    /// Computes the positions of all nodes and of all bends of edges. `extents` contains the height that each
    /// node needs above and below its center.
    pub(super) fn new(graph: &Graph, ranking: &Ranking, extents: &[Extent]) -> Self {
        let rank_count = ranking.ranks.iter().max().map_or(0, |rank| rank + 1);
        let mut grid = Self {
            items: Vec::with_capacity(extents.len()),
            layers: vec![Vec::new(); rank_count],
            chains: Vec::with_capacity(graph.edges.len()),
        };
        for (node, extent) in extents.iter().enumerate() {
            grid.add(
                ranking.ranks[node],
                *extent,
                false,
                ranking.visit_order[node],
            );
        }
        for (edge, is_return) in graph.edges.iter().zip(&ranking.is_return) {
            let mut chain = Vec::new();
            if !is_return {
                chain.push(edge.from);
                let first = ranking.ranks[edge.from] + 1;
                for rank in first..ranking.ranks[edge.to] {
                    let has_label = edge.label_width > 0 && rank == first;
                    let extent = Extent {
                        above: LINE_SPACE + if has_label { LABEL_SPACE } else { 0 },
                        below: LINE_SPACE,
                    };
                    chain.push(grid.add(rank, extent, true, ranking.visit_order[edge.from]));
                }
                chain.push(edge.to);
            }
            for pair in chain.windows(2) {
                grid.items[pair[0]].right.push(pair[1]);
                grid.items[pair[1]].left.push(pair[0]);
            }
            grid.chains.push(chain);
        }
        grid.order();
        grid.level();
        grid
    }

    /// Returns the vertical position of an item (a node or the bend of an edge).
    pub(super) fn y(&self, item: usize) -> i64 {
        self.items[item].y
    }

    /// Moves all nodes and bends so that the highest one begins at the vertical position `top`. Returns the
    /// lower end of the lowest one.
    pub(super) fn move_to(&mut self, top: i64) -> i64 {
        let highest = self
            .items
            .iter()
            .map(|item| item.y - item.extent.above)
            .min();
        let shift = top - highest.unwrap_or(top);
        for item in &mut self.items {
            item.y += shift;
        }
        let lowest = self
            .items
            .iter()
            .map(|item| item.y + item.extent.below)
            .max();
        lowest.unwrap_or(top)
    }

    fn add(&mut self, rank: usize, extent: Extent, is_bend: bool, key: usize) -> usize {
        let index = self.items.len();
        self.items.push(Item {
            extent,
            is_bend,
            key,
            left: Vec::new(),
            right: Vec::new(),
            place: 0,
            y: 0,
        });
        self.layers[rank].push(index);
        index
    }

    /// Orders the nodes and bends of each rank (column) by the average position of the connected nodes and
    /// bends in the neighboring rank. In this order, few lines cross.
    fn order(&mut self) {
        let rank_count = self.layers.len();
        for rank in 0..rank_count {
            let items = &self.items;
            self.layers[rank].sort_by_key(|item| items[*item].key);
            self.number(rank);
        }
        for sweep in 0..ORDER_SWEEPS {
            let is_rightward = sweep.is_multiple_of(2);
            for step in 0..rank_count {
                let rank = if is_rightward {
                    step
                } else {
                    rank_count - 1 - step
                };
                let mut keyed: Vec<(i64, usize)> = self.layers[rank]
                    .iter()
                    .map(|item| (self.average_place(*item, is_rightward), *item))
                    .collect();
                // The sort is stable, so nodes and bends with equal average positions keep their order.
                keyed.sort_by_key(|(average, _)| *average);
                self.layers[rank] = keyed.into_iter().map(|(_, item)| item).collect();
                self.number(rank);
            }
        }
    }

    fn number(&mut self, rank: usize) {
        for (place, item) in self.layers[rank].iter().enumerate() {
            self.items[*item].place = whole(place);
        }
    }

    fn average_place(&self, item: usize, is_rightward: bool) -> i64 {
        let item = &self.items[item];
        let neighbors = if is_rightward {
            &item.left
        } else {
            &item.right
        };
        let sum: i64 = neighbors.iter().map(|other| self.items[*other].place).sum();
        match whole(neighbors.len()) {
            0 => item.place * SCALE,
            count => sum * SCALE / count,
        }
    }

    /// Computes the vertical positions of all items (nodes and bends of edges). First places the middles of all ranks
    /// (columns) on one horizontal line. Then moves each item as near as possible to the median position of its
    /// connected items. The order of the items in a rank does not change.
    fn level(&mut self) {
        let distances: Vec<Vec<i64>> = self
            .layers
            .iter()
            .map(|layer| self.distances(layer))
            .collect();
        for (layer, distances) in self.layers.iter().zip(&distances) {
            let mut y = -distances.iter().sum::<i64>() / 2;
            for (item, distance) in layer.iter().zip(distances) {
                y += distance;
                self.items[*item].y = y;
            }
        }
        let rank_count = self.layers.len();
        for sweep in 0..LEVEL_SWEEPS {
            let is_rightward = sweep.is_multiple_of(2);
            let is_last = sweep + 1 == LEVEL_SWEEPS;
            for step in 0..rank_count {
                let rank = if is_rightward {
                    step
                } else {
                    rank_count - 1 - step
                };
                let wanted: Vec<(i64, i64)> = self.layers[rank]
                    .iter()
                    .map(|item| self.wanted(*item, is_rightward, is_last))
                    .collect();
                let levels = spread(&wanted, &distances[rank]);
                for (item, y) in self.layers[rank].iter().zip(levels) {
                    self.items[*item].y = y;
                }
            }
        }
    }

    /// Returns the minimum vertical distances between the centers of neighboring nodes and bends in one rank (column),
    /// from top to bottom. The first distance is 0, because no node or bend is above the first one.
    fn distances(&self, layer: &[usize]) -> Vec<i64> {
        let between = layer.windows(2).map(|pair| {
            let (upper, lower) = (&self.items[pair[0]], &self.items[pair[1]]);
            let gap = if upper.is_bend || lower.is_bend {
                LINE_GAP
            } else {
                BOX_GAP
            };
            upper.extent.below + gap + lower.extent.above
        });
        std::iter::once(0).chain(between).collect()
    }

    /// Returns the best vertical position for an item (a node or the bend of an edge), and the weight of the
    /// item. The best position is the median position of the connected items.
    fn wanted(&self, item: usize, is_rightward: bool, is_last: bool) -> (i64, i64) {
        let item = &self.items[item];
        let side = if is_rightward {
            &item.left
        } else {
            &item.right
        };
        let mut levels: Vec<i64> = side.iter().map(|other| self.items[*other].y).collect();
        if is_last || levels.is_empty() {
            let both = item.left.iter().chain(&item.right);
            levels = both.map(|other| self.items[*other].y).collect();
        }
        let weight = if item.is_bend { BEND_WEIGHT } else { 1 };
        (median(levels).unwrap_or(item.y), weight)
    }
}

fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len().is_multiple_of(2) {
        Some(i64::midpoint(values[middle - 1], upper))
    } else {
        Some(upper)
    }
}

/// Returns vertical positions that keep the given minimum distances and the given order. `wanted` contains the
/// best position and the weight of each item. The weighted sum of the squared deviations from the best
/// positions is minimal (pool adjacent violators algorithm).
fn spread(wanted: &[(i64, i64)], distances: &[i64]) -> Vec<i64> {
    struct Block {
        sum: i64,
        weight: i64,
        len: usize,
    }
    let mut blocks: Vec<Block> = Vec::new();
    let mut offsets = Vec::with_capacity(wanted.len());
    let mut offset = 0;
    for ((position, weight), distance) in wanted.iter().zip(distances) {
        offset += distance;
        offsets.push(offset);
        let mut block = Block {
            sum: (position - offset) * weight,
            weight: *weight,
            len: 1,
        };
        while let Some(last) =
            blocks.pop_if(|last| last.sum * block.weight >= block.sum * last.weight)
        {
            block = Block {
                sum: last.sum + block.sum,
                weight: last.weight + block.weight,
                len: last.len + block.len,
            };
        }
        blocks.push(block);
    }
    blocks
        .iter()
        .flat_map(|block| std::iter::repeat_n(block.sum.div_euclid(block.weight), block.len))
        .zip(offsets)
        .map(|(position, offset)| position + offset)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_with_enough_distance_get_their_wanted_positions() {
        assert_eq!(spread(&[(0, 1), (50, 1)], &[0, 20]), [0, 50]);
        assert_eq!(spread(&[], &[]), Vec::<i64>::new());
    }

    #[test]
    fn items_that_are_too_near_move_apart_by_their_weights() {
        assert_eq!(spread(&[(0, 1), (0, 1)], &[0, 20]), [-10, 10]);
        assert_eq!(spread(&[(0, 3), (0, 1)], &[0, 20]), [-5, 15]);
        assert_eq!(
            spread(&[(40, 1), (0, 1), (0, 1)], &[0, 10, 10]),
            [3, 13, 23]
        );
    }

    #[test]
    fn the_median_of_an_even_number_is_in_the_middle() {
        assert_eq!(median(vec![9, 1, 5]), Some(5));
        assert_eq!(median(vec![9, 1]), Some(5));
        assert_eq!(median(Vec::new()), None);
    }
}

//! A digest tree over the lines of a file. Its root stands for all lines in their order, and a short proof shows that
//! one line is among them without the others. It is the tree of RFC 6962: a leaf and an inner node begin with different
//! bytes, so that neither can be taken for the other.

use crate::base::digest::Digest;

/// A SHA-256 digest.
pub type Hash = [u8; 32];

const LEAF: u8 = 0;
const NODE: u8 = 1;

/// Returns the digest of a line.
pub fn leaf(line: &[u8]) -> Hash {
    let mut digest = Digest::default();
    digest.add(&[LEAF]);
    digest.add(line);
    digest.bytes()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut digest = Digest::default();
    digest.add(&[NODE]);
    digest.add(left);
    digest.add(right);
    digest.bytes()
}

/// Returns the root over `leaves`. The root of no leaves is the digest of no bytes.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Digest::default().bytes(),
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(left_half(leaves.len()));
            node(&root(left), &root(right))
        }
    }
}

/// Returns the number of leaves in the left half of a tree: the largest power of two below `leaves`.
fn left_half(leaves: usize) -> usize {
    leaves.next_power_of_two() / 2
}

/// Returns the proof of leaf `at`: the digests beside the way from the leaf to the root, from the leaf on. Returns
/// `None` if there is no such leaf.
pub fn proof(leaves: &[Hash], at: usize) -> Option<Vec<Hash>> {
    if at >= leaves.len() {
        return None;
    }
    let mut way = Vec::new();
    let (mut leaves, mut at) = (leaves, at);
    while leaves.len() > 1 {
        let (left, right) = leaves.split_at(left_half(leaves.len()));
        if at < left.len() {
            way.push(root(right));
            leaves = left;
        } else {
            way.push(root(left));
            at -= left.len();
            leaves = right;
        }
    }
    way.reverse();
    Some(way)
}

/// Returns the root that `proof` leads to from `leaf`, the leaf `at` of `leaves` leaves. Returns `None` if the proof
/// does not have the length of the way. The leaf is proven if the result is the signed root.
pub fn root_by(leaf: Hash, at: usize, leaves: usize, proof: &[Hash]) -> Option<Hash> {
    if at >= leaves {
        return None;
    }
    // The way from the root to the leaf: whether the leaf lies in the left half.
    let mut is_left = Vec::new();
    let (mut leaves, mut at) = (leaves, at);
    while leaves > 1 {
        let left = left_half(leaves);
        is_left.push(at < left);
        (leaves, at) = if at < left { (left, at) } else { (leaves - left, at - left) };
    }
    if is_left.len() != proof.len() {
        return None;
    }
    let way = is_left.iter().rev().zip(proof);
    Some(way.fold(leaf, |hash, (is_left, beside)| match is_left {
        true => node(&hash, beside),
        false => node(beside, &hash),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The inputs of the test vectors of the Certificate Transparency reference implementation.
    const INPUTS: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    /// The roots over the first one to eight inputs, from the same vectors.
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn leaves(count: usize) -> Vec<Hash> {
        INPUTS[..count].iter().map(|input| leaf(&hex::decode(input).unwrap())).collect()
    }

    #[test]
    fn the_published_vectors() {
        for (count, expected) in (1..=8).zip(ROOTS) {
            assert_eq!(hex::encode(root(&leaves(count))), expected, "{count} leaves");
        }
        let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex::encode(root(&[])), nothing);
    }

    #[test]
    fn every_leaf_has_a_proof_that_leads_to_the_root() {
        for count in 1..=8 {
            let leaves = leaves(count);
            for at in 0..count {
                let proof = proof(&leaves, at).unwrap();
                assert_eq!(root_by(leaves[at], at, count, &proof), Some(root(&leaves)));
            }
            assert_eq!(proof(&leaves, count), None);
        }
    }

    #[test]
    fn a_proof_is_of_one_leaf_at_one_place_in_one_tree() {
        let leaves = leaves(7);
        let way = proof(&leaves, 3).unwrap();
        let root = Some(root(&leaves));
        assert_eq!(root_by(leaves[3], 3, 7, &way), root);
        assert_ne!(root_by(leaf(b"another"), 3, 7, &way), root);
        assert_ne!(root_by(leaves[3], 2, 7, &way), root);
        assert_eq!(root_by(leaves[3], 3, 7, &way[1..]), None);
        assert_eq!(root_by(leaves[3], 7, 7, &way), None);
        let mut changed = way.clone();
        changed[1][0] ^= 1;
        assert_ne!(root_by(leaves[3], 3, 7, &changed), root);
    }

    /// If both began with the same byte, the two digests of an inner node would be a line with the same digest.
    #[test]
    fn an_inner_node_is_not_a_line() {
        let [one, two] = [leaf(b"1"), leaf(b"2")];
        assert_ne!(leaf(&[one, two].concat()), root(&[one, two]));
    }
}

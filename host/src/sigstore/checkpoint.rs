//! Whether a log holds an entry: the path of hashes from it to a root that the log has signed
//! (RFC 9162 and C2SP's tlog-checkpoint).

use ring::digest::SHA256;

use super::{
    key::hash,
    roots::{Log, bytes},
};

/// A proof that an entry is in a log.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    pub(super) index: u64,
    pub(super) size: u64,
    pub(super) root: Vec<u8>,
    pub(super) hashes: Vec<Vec<u8>>,
    pub(super) checkpoint: String,
}

impl Proof {
    /// The log that holds an entry, by its own signature.
    pub(super) fn log<'l>(&self, entry: &[u8], logs: &'l [Log]) -> Result<&'l Log, String> {
        if self.root_above(entry).as_ref() != Some(&self.root) {
            return Err("its proof that the log holds it is wrong".to_owned());
        }
        let (text, signatures) = self.checkpoint.split_once("\n\n").ok_or("its log's checkpoint has no signatures")?;
        let mut lines = text.lines();
        let (origin, size, root) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        if size.parse() != Ok(self.size) || bytes(root).as_ref() != Ok(&self.root) || origin.is_empty() {
            return Err("its log's checkpoint is of another state of the log than the proof".to_owned());
        }
        let signed = format!("{text}\n");
        for line in signatures.lines() {
            let Some((name, signature)) = line.strip_prefix("\u{2014} ").and_then(|line| line.split_once(' ')) else { continue };
            let Ok(signature) = bytes(signature) else { continue };
            let Some((hint, signature)) = signature.split_at_checked(4) else { continue };
            // Rekor's first version has the number of its tree behind its name.
            if origin != name && !origin.strip_prefix(name).is_some_and(|rest| rest.starts_with(" - ")) {
                continue;
            }
            let by = logs.iter().find(|log| {
                log.name.as_deref().is_none_or(|known| known == name)
                    && log.key.hint(name) == hint
                    && log.key.has_signed(signed.as_bytes(), signature)
            });
            if let Some(log) = by {
                return Ok(log);
            }
        }
        Err("its log's checkpoint is not signed by a log that is trusted".to_owned())
    }

    /// What the hashes come to. None: there are too many or too few of them.
    fn root_above(&self, entry: &[u8]) -> Option<Vec<u8>> {
        let (mut index, mut last) = (self.index, self.size.checked_sub(1)?);
        if index > last {
            return None;
        }
        let mut at = hash(&SHA256, &[&[0], entry]);
        for beside in &self.hashes {
            if last == 0 {
                return None;
            }
            if index & 1 == 1 || index == last {
                at = hash(&SHA256, &[&[1], beside, &at]);
                while index & 1 == 0 && index != 0 {
                    index >>= 1;
                    last >>= 1;
                }
            } else {
                at = hash(&SHA256, &[&[1], &at, beside]);
            }
            index >>= 1;
            last >>= 1;
        }
        (last == 0).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root of a tree, as RFC 9162 defines it, and the proof for one of its leaves.
    fn tree(leaves: &[Vec<u8>], index: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
        if let [leaf] = leaves {
            return (hash(&SHA256, &[&[0], leaf]), Vec::new());
        }
        let split = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(split);
        let (mut proof, other);
        let root = if index < split {
            let (a, path) = tree(left, index);
            let b = tree(right, 0).0;
            (proof, other) = (path, b.clone());
            hash(&SHA256, &[&[1], &a, &b])
        } else {
            let (b, path) = tree(right, index - split);
            let a = tree(left, 0).0;
            (proof, other) = (path, a.clone());
            hash(&SHA256, &[&[1], &a, &b])
        };
        proof.push(other);
        (root, proof)
    }

    #[test]
    fn of_every_tree_every_leaf_is_proven_and_nothing_else() {
        for size in 1..=33_usize {
            let leaves: Vec<_> = (0..size).map(|number| format!("entry {number}").into_bytes()).collect();
            for index in 0..size {
                let (root, hashes) = tree(&leaves, index);
                let proof = Proof { index: index as u64, size: size as u64, root: root.clone(), hashes, checkpoint: String::new() };
                assert_eq!(proof.root_above(&leaves[index]).as_ref(), Some(&root), "{index} of {size}");
                assert_ne!(proof.root_above(b"another").as_ref(), Some(&root));
                for (change, said) in [(1, "another place"), (u64::MAX, "before it")] {
                    let moved = Proof { index: proof.index.wrapping_add(change), ..proof.clone() };
                    assert_ne!(moved.root_above(&leaves[index]).as_ref(), Some(&root), "{said}: {index} of {size}");
                }
                let mut longer = proof.clone();
                longer.hashes.push(vec![0; 32]);
                assert_ne!(longer.root_above(&leaves[index]).as_ref(), Some(&root));
                let mut shorter = proof;
                if shorter.hashes.pop().is_some() {
                    assert_ne!(shorter.root_above(&leaves[index]).as_ref(), Some(&root));
                }
            }
        }
        let empty = Proof { index: 0, size: 0, root: Vec::new(), hashes: Vec::new(), checkpoint: String::new() };
        assert_eq!(empty.root_above(b""), None);
    }
}

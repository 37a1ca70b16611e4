//! Signed certificates that were kept, compared with what the log comes to at their frames. A log that was cut, or a tail
//! that was written anew, contradicts them.

use ::proof::{Certificate, Hash, frame_leaf, root};
use schemas::FrameView;
use smol_str::SmolStr;
use std::path::PathBuf;

use super::{Break, BreakKind, Report};
use crate::fold::Fold;
use crate::prove::items_root;

/// Certificates of the site, as files, and the key that they should bear.
#[derive(Debug, Default)]
pub struct Kept {
    /// `None`: the site has no key.
    pub key: Option<Hash>,
    /// Each with what it holds, or why it cannot be read.
    pub certificates: Vec<(PathBuf, Result<Certificate, String>)>,
}

/// The comparison while frames go by.
pub(super) struct Signed<'a> {
    waiting: Vec<(&'a PathBuf, &'a Certificate)>,
    leaves: Vec<Hash>,
    stream: SmolStr,
}

impl<'a> Signed<'a> {
    /// What is forged, changed or of another stream is named at once.
    pub fn new(stream: &SmolStr, kept: &'a Kept, report: &mut Report) -> Self {
        let mut this = Self { waiting: Vec::new(), leaves: Vec::new(), stream: stream.clone() };
        for (path, read) in &kept.certificates {
            let stands = |certificate: &Certificate| match &kept.key {
                None => Err("the key that signed it is not in the folder of keys any more".to_owned()),
                Some(_) if certificate.stream != stream.as_str() => Err(format!("it is of {}", certificate.stream)),
                Some(key) => certificate.check(key).map_err(|error| error.to_string()),
            };
            match read.as_ref().map_err(Clone::clone).and_then(|x| stands(x).map(|()| x)) {
                Ok(certificate) => this.waiting.push((path, certificate)),
                Err(why) => report.add(this.broken(path, 0, why)),
            }
        }
        this.waiting.sort_by_key(|(_, certificate)| std::cmp::Reverse(certificate.seq));
        this
    }

    /// A frame has been folded.
    pub fn frame(&mut self, frame: &FrameView<'_>, fold: &mut Fold, report: &mut Report) {
        if self.waiting.is_empty() {
            return;
        }
        let (seq, hash) = (frame.header.seq, Hash(frame.hash()));
        // An item that cannot be read has been named already; its leaf then is none, and the roots differ.
        self.leaves.push(frame_leaf(seq, &hash, &items_root(frame).unwrap_or_default()));
        while let Some((path, certificate)) = self.waiting.pop_if(|(_, certificate)| certificate.seq <= seq) {
            let same = [
                ("the frame's hash", certificate.hash == hash),
                ("the epoch", certificate.epoch == frame.header.epoch),
                ("the root over the balances", certificate.state_root == Hash(fold.book.root())),
                ("the root over the frames", certificate.tree_root == root(&self.leaves)),
            ];
            let differs: Vec<&str> = same.iter().filter(|(_, same)| !same).map(|(what, _)| *what).collect();
            if !differs.is_empty() {
                let why = format!("it says something else than the log of: {}", differs.join(", "));
                report.add(self.broken(path, certificate.seq, why));
            }
        }
    }

    /// The log is over.
    pub fn finish(self, last: u64, report: &mut Report) {
        for (path, certificate) in self.waiting.iter().rev() {
            let why = format!("it was signed up to frame {}, but the log ends with frame {last}", certificate.seq);
            report.add(self.broken(path, certificate.seq, why));
        }
    }

    fn broken(&self, path: &std::path::Path, seq: u64, why: String) -> Break {
        let (stream, file) = (self.stream.clone(), Some(path.display().to_string()));
        let detail = format!("signed certificate: {why}");
        Break { kind: BreakKind::Signed, stream, seq, index: None, offset: None, file, detail }
    }
}

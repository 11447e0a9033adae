//! The recurrence, written once for every backend: which stage runs on which frame, in which order, and when a
//! feature is no longer needed.
//!
//! Section 3 of the paper. Features are propagated through the sequence four times, backward, forward, backward,
//! forward. At every visit of a frame the branch's features of its last two visits are aligned to the frame (second
//! order), joined with what the earlier branches have found there, and refined.

use crate::{Branch, EngineError, Out};
use bytes::Bytes;
use std::{ops::Range, rc::Rc};

/// What a branch's earlier visits have left for the current one.
#[derive(Debug)]
pub struct Earlier<'a, B: Backend + ?Sized> {
    /// The branch's feature of the previous visit.
    pub first: &'a B::Feature,
    /// Flow from the current frame to that of the previous visit.
    pub first_flow: &'a B::Flow,
    /// The feature of the visit before the previous one and the flow to it; absent at the second visit, where zeros
    /// take its place.
    pub second: Option<(&'a B::Feature, &'a B::Flow)>,
}

/// The stages of the network on some device. `C` is the number of feature channels, `w` x `h` the size of a frame.
pub trait Backend {
    /// An RGB frame, 0 to 1, `3 x h x w`.
    type Frame;
    /// A feature, `C x h x w`.
    type Feature;
    /// A flow field in pixels, float32, `2 x h x w`, x before y. `flow(reference, support)` says for every pixel of
    /// the reference where in the support it is found, relative to its own position.
    type Flow;

    /// Takes a frame in wire order.
    fn frame(&mut self, wire: &Bytes) -> Result<Self::Frame, EngineError>;

    /// The flow network on pairs `(reference, support)` of indices into `frames`. All pairs of a direction come in
    /// one call, so that a backend may share pyramids and batch as it likes; its answer must not depend on how.
    fn flows(
        &mut self,
        frames: &[Self::Frame],
        pairs: &[(usize, usize)],
    ) -> Result<Vec<Self::Flow>, EngineError>;

    /// `flow + warp(previous, by flow)`, zeros outside: the flow over two steps, where `previous` is the flow that
    /// the previous visit used.
    fn compose(&mut self, flow: &Self::Flow, previous: &Self::Flow) -> Result<Self::Flow, EngineError>;

    /// The spatial feature of a frame.
    fn spatial(&mut self, frame: &Self::Frame) -> Result<Self::Feature, EngineError>;

    /// Fetches the features that the next visit will need, for backends that keep some elsewhere.
    fn prefetch(&mut self, _features: &[&Self::Feature]) -> Result<(), EngineError> {
        Ok(())
    }

    /// Flow-guided deformable alignment of a branch.
    fn align(
        &mut self,
        branch: Branch,
        spatial: &Self::Feature,
        earlier: &Earlier<'_, Self>,
    ) -> Result<Self::Feature, EngineError>;

    /// `aligned + backbone([found.., aligned])`, where `found` is the spatial feature and those of the earlier
    /// branches, in branch order, and `aligned` is zero at a branch's first visit.
    fn refine(
        &mut self,
        branch: Branch,
        found: &[&Self::Feature],
        aligned: Option<Self::Feature>,
    ) -> Result<Self::Feature, EngineError>;

    /// The enlarged frame out of the frame and its five features (spatial and the four branches). The bytes may
    /// reach `out` now, or before any later frame's at a later call, or in [`finish`](Self::finish).
    fn reconstruct(
        &mut self,
        frame: &Self::Frame,
        features: [&Self::Feature; 5],
        out: &mut Out<'_>,
    ) -> Result<(), EngineError>;

    /// Delivers what [`reconstruct`](Self::reconstruct) has held back.
    fn finish(&mut self, _out: &mut Out<'_>) -> Result<(), EngineError> {
        Ok(())
    }

    /// Whether a frame's spatial feature is kept until the last branch. If not it is dropped after the third and computed
    /// again: with none kept, a quarter less memory at the peak for a twentieth more work.
    fn keep_spatial(&self, _frame: usize) -> bool {
        true
    }
}

/// What has been computed for one frame of the sequence so far.
struct Found<B: Backend> {
    /// The spatial feature, once it has been computed.
    spatial: Option<B::Feature>,
    /// Features of the finished branches that later ones need.
    branches: Vec<Rc<B::Feature>>,
}

impl<B: Backend> Found<B> {
    fn features(&self) -> Vec<&B::Feature> {
        self.spatial.iter().chain(self.branches.iter().map(|feature| &**feature)).collect()
    }
}

/// Enlarges `frames`, a whole sequence in film order, each one frame in wire order in `Settings::in_fmt`.
///
/// `out` is called once for every frame in `emit` (indices into `frames`), in order, with the enlarged frame in wire order
/// in `Settings::out_fmt`. It may keep the frame: the memory is used again once the last clone is dropped. Frames outside
/// `emit` are context: they are computed as far as the emitted ones need them. The bytes depend on `frames`, the weights
/// and the settings only.
///
/// Every branch but the last runs over the whole sequence, since backward ones start at its end. The last one stops
/// at the last emitted frame and is joined with the reconstruction, so that frames leave as soon as they are known
/// and its own features are never stored.
pub fn enlarge<B: Backend>(
    backend: &mut B,
    frames: &[Bytes],
    emit: Range<usize>,
    out: &mut Out<'_>,
) -> Result<(), EngineError> {
    if emit.is_empty() {
        return Ok(());
    }
    let count = frames.len();
    if emit.end > count {
        return Err(EngineError::Failed(format!("frames {emit:?} of a sequence of {count}")));
    }
    let frames = frames.iter().map(|wire| backend.frame(wire)).collect::<Result<Vec<_>, _>>()?;
    // Flow i of a direction belongs to frames i and i + 1. A backward branch goes from i + 1 to i, so there frame i is
    // the reference; in a forward branch it is frame i + 1.
    let steps = 0..count - 1;
    let backward_flows = backend.flows(&frames, &steps.clone().map(|i| (i, i + 1)).collect::<Vec<_>>())?;
    let forward_flows = backend.flows(&frames, &steps.map(|i| (i + 1, i)).collect::<Vec<_>>())?;

    let mut found: Vec<_> =
        (0..count).map(|_| Found::<B> { spatial: None, branches: Vec::with_capacity(3) }).collect();

    for branch in [Branch::Backward1, Branch::Forward1, Branch::Backward2] {
        let mut visits = Visits::new(branch);
        for step in 0..count {
            let at = |step: usize| {
                if branch == Branch::Forward1 { Some(step) } else { (count - 1).checked_sub(step) }
            };
            let Some(i) = at(step) else { break };
            if let Some(next) = at(step + 1).and_then(|next| found.get(next)) {
                backend.prefetch(&next.features())?;
            }
            let flow = match branch {
                Branch::Forward1 => i.checked_sub(1).map(|i| &forward_flows[i]),
                _ => backward_flows.get(i),
            };
            let spatial = match found[i].spatial.take() {
                Some(feature) => feature,
                None => backend.spatial(&frames[i])?,
            };
            let feature = visits.visit(backend, &spatial, &found[i].branches, flow)?;
            let last = branch == Branch::Backward2;
            if last && i >= emit.end {
                // Context after the last emitted frame: the last branch does not come here.
                found[i].branches.clear();
                continue;
            }
            found[i].branches.push(feature);
            if !last || backend.keep_spatial(i) {
                found[i].spatial = Some(spatial);
            }
        }
    }

    let mut visits = Visits::new(Branch::Forward2);
    let mut rest = found.into_iter().take(emit.end).enumerate().peekable();
    while let Some((i, here)) = rest.next() {
        if let Some((_, next)) = rest.peek() {
            backend.prefetch(&next.features())?;
        }
        let spatial = match here.spatial {
            Some(feature) => feature,
            None => backend.spatial(&frames[i])?,
        };
        let flow = i.checked_sub(1).map(|i| &forward_flows[i]);
        let feature = visits.visit(backend, &spatial, &here.branches, flow)?;
        if i >= emit.start {
            let [b1, f1, b2] = &here.branches[..] else { unreachable!("three branches have been here") };
            backend.reconstruct(&frames[i], [&spatial, b1, f1, b2, &feature], out)?;
        }
    }
    backend.finish(out)
}

/// The state that a branch carries from visit to visit.
struct Visits<'a, B: Backend> {
    branch: Branch,
    /// Feature of the previous visit, and of the one before it.
    features: [Option<Rc<B::Feature>>; 2],
    /// Flow of the previous visit.
    flow: Option<&'a B::Flow>,
}

impl<'a, B: Backend> Visits<'a, B> {
    fn new(branch: Branch) -> Self {
        Self { branch, features: [None, None], flow: None }
    }

    /// Visits the next frame. `flow` leads from it to the previously visited one; at the first visit there is none.
    fn visit(
        &mut self,
        backend: &mut B,
        spatial: &B::Feature,
        branches: &[Rc<B::Feature>],
        flow: Option<&'a B::Flow>,
    ) -> Result<Rc<B::Feature>, EngineError> {
        let [first, second] = &self.features;
        let aligned = match (first, flow) {
            (Some(first), Some(first_flow)) => {
                let second = match (second, self.flow) {
                    (Some(feature), Some(previous)) => {
                        Some((feature, backend.compose(first_flow, previous)?))
                    }
                    _ => None,
                };
                let second = second.as_ref().map(|(feature, flow)| (&***feature, flow));
                Some(backend.align(self.branch, spatial, &Earlier { first, first_flow, second })?)
            }
            _ => None,
        };
        let mut found = vec![spatial];
        found.extend(branches.iter().map(|feature| &**feature));
        let feature = Rc::new(backend.refine(self.branch, &found, aligned)?);
        self.features = [Some(feature.clone()), self.features[0].take()];
        self.flow = flow;
        Ok(feature)
    }
}

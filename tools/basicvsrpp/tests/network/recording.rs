//! A backend that keeps what passes through it.

use basicvsrpp::{
    Branch, EngineError, Out,
    cpu::{
        fast::Fast,
        plain::{Plain, Planes},
    },
    network::{Backend, Earlier},
};

/// A backend whose features and flows can be read back.
pub trait Readable: Backend {
    fn read_feature(&self, feature: &Self::Feature) -> Planes;
    fn read_flow(&self, flow: &Self::Flow) -> Planes;
}

impl Readable for Plain<'_> {
    fn read_feature(&self, feature: &Planes) -> Planes {
        feature.clone()
    }

    fn read_flow(&self, flow: &Planes) -> Planes {
        flow.clone()
    }
}

impl Readable for Fast {
    fn read_feature(&self, feature: &Self::Feature) -> Planes {
        self.feature_planes(feature)
    }

    fn read_flow(&self, flow: &Self::Flow) -> Planes {
        self.flow_planes(flow)
    }
}

/// Runs `inner` and keeps every stage's result, in the order of computation.
pub struct Recording<B: Backend> {
    pub inner: B,
    /// One list for each direction: backward, then forward.
    pub flows: Vec<Vec<Planes>>,
    pub spatial: Vec<Planes>,
    /// By `Branch as usize`.
    pub aligned: [Vec<Planes>; 4],
    pub features: [Vec<Planes>; 4],
}

impl<B: Backend> Recording<B> {
    pub fn new(inner: B) -> Self {
        Self {
            inner,
            flows: vec![],
            spatial: vec![],
            aligned: Default::default(),
            features: Default::default(),
        }
    }

    /// The finished features of a branch in frame order.
    pub fn in_frame_order(&self, branch: Branch) -> Vec<&Planes> {
        let mut all: Vec<_> = self.features[branch as usize].iter().collect();
        if matches!(branch, Branch::Backward1 | Branch::Backward2) {
            all.reverse();
        }
        all
    }
}

impl<B: Readable> Backend for Recording<B> {
    type Frame = B::Frame;
    type Feature = B::Feature;
    type Flow = B::Flow;

    fn frame(&mut self, wire: &bytes::Bytes) -> Result<B::Frame, EngineError> {
        self.inner.frame(wire)
    }

    fn flows(&mut self, frames: &[B::Frame], pairs: &[(usize, usize)]) -> Result<Vec<B::Flow>, EngineError> {
        let flows = self.inner.flows(frames, pairs)?;
        self.flows.push(flows.iter().map(|flow| self.inner.read_flow(flow)).collect());
        Ok(flows)
    }

    fn compose(&mut self, flow: &B::Flow, previous: &B::Flow) -> Result<B::Flow, EngineError> {
        self.inner.compose(flow, previous)
    }

    fn spatial(&mut self, frame: &B::Frame) -> Result<B::Feature, EngineError> {
        let feature = self.inner.spatial(frame)?;
        self.spatial.push(self.inner.read_feature(&feature));
        Ok(feature)
    }

    fn align(
        &mut self,
        branch: Branch,
        spatial: &B::Feature,
        earlier: &Earlier<'_, Self>,
    ) -> Result<B::Feature, EngineError> {
        let Earlier { first, first_flow, second } = *earlier;
        let feature = self.inner.align(branch, spatial, &Earlier { first, first_flow, second })?;
        self.aligned[branch as usize].push(self.inner.read_feature(&feature));
        Ok(feature)
    }

    fn refine(
        &mut self,
        branch: Branch,
        found: &[&B::Feature],
        aligned: Option<B::Feature>,
    ) -> Result<B::Feature, EngineError> {
        let feature = self.inner.refine(branch, found, aligned)?;
        self.features[branch as usize].push(self.inner.read_feature(&feature));
        Ok(feature)
    }

    fn reconstruct(
        &mut self,
        frame: &B::Frame,
        features: [&B::Feature; 5],
        out: &mut Out<'_>,
    ) -> Result<(), EngineError> {
        self.inner.reconstruct(frame, features, out)
    }
}

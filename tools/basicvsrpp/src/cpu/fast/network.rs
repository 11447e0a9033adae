//! The network with its weights as the kernels want them.

use crate::{
    Branch, Conv, Weights,
    cpu::{
        deform::Deform,
        direct::{Direct, Narrow},
        map::padded,
        sink::shuffled,
        winograd::{Winograd, in_order},
    },
};

/// Values of a pixel of an RGB map.
pub const RGB: usize = 4;

/// Values of a pixel of what a level of the flow network works on: reference, support, flow.
pub const INPUT: usize = 8;

/// The network with its weights as the kernels want them.
#[derive(Debug)]
pub struct Network {
    pub spynet: Vec<FlowLevel>,
    pub mean: [f32; 3],
    pub std: [f32; 3],
    /// Strided convolutions, if any, and the first of the feature extractor; and its blocks.
    pub feat_extract: (Vec<Direct>, Vec<[Winograd; 2]>),
    pub branches: [Propagation; 4],
    pub reconstruction: (Winograd, Vec<[Winograd; 2]>),
    pub upsample1: Winograd,
    pub upsample2: Winograd,
    pub conv_hr: Winograd,
    pub conv_last: Narrow<3>,
}

#[derive(Debug)]
pub struct FlowLevel {
    pub convs: Vec<Direct>,
    pub last: Narrow<2>,
}

#[derive(Debug)]
pub struct Propagation {
    /// All offset convolutions but the last.
    pub offset: Vec<Winograd>,
    pub deform: Deform,
    pub input: Winograd,
    pub blocks: Vec<[Winograd; 2]>,
}

fn residual_blocks(blocks: &[[Conv; 2]]) -> Vec<[Winograd; 2]> {
    let conv = |conv: &Conv| Winograd::new(conv, &[conv.cin], &in_order(conv.cout));
    blocks.iter().map(|[conv1, conv2]| [conv(conv1), conv(conv2)]).collect()
}

impl Network {
    pub fn new(weights: &Weights) -> Self {
        let c = weights.mid_channels;
        let spynet = weights.spynet.levels.iter().map(|convs| {
            let (last, convs) = convs.split_last().expect("a level has a convolution");
            let mut stride = if convs.is_empty() { padded(INPUT) } else { INPUT };
            let convs = convs.iter().map(|conv| {
                let direct = Direct::new(conv, stride, 1);
                stride = padded(conv.cout);
                direct
            });
            let convs = convs.collect();
            FlowLevel { convs, last: Narrow::new(last, stride) }
        });
        let branch = |branch: Branch| {
            let weights = &weights.branches[branch as usize];
            let mut parts = vec![c, c, c, 4];
            let hidden = &weights.align.offset[..weights.align.offset.len() - 1];
            let offset = hidden
                .iter()
                .map(|conv| {
                    Winograd::new(conv, &std::mem::replace(&mut parts, vec![conv.cout]), &in_order(conv.cout))
                })
                .collect();
            let input = &weights.backbone.input;
            Propagation {
                offset,
                deform: Deform::new(&weights.align, &parts),
                input: Winograd::new(input, &vec![c; input.cin / c], &in_order(c)),
                blocks: residual_blocks(&weights.backbone.blocks),
            }
        };
        let upsample = |conv: &Conv| Winograd::new(conv, &[conv.cin], &shuffled(conv.cout));
        let (feat_extract, reconstruction) = (&weights.feat_extract, &weights.reconstruction);
        let conv_hr = &weights.conv_hr;
        let mut stride = RGB;
        let strided = weights.strided.iter().map(|conv| (conv, 2));
        let extract = strided
            .chain([(&feat_extract.input, 1)])
            .map(|(conv, step)| Direct::new(conv, std::mem::replace(&mut stride, padded(conv.cout)), step))
            .collect();
        Self {
            spynet: spynet.collect(),
            mean: weights.spynet.mean,
            std: weights.spynet.std,
            feat_extract: (extract, residual_blocks(&feat_extract.blocks)),
            branches: Branch::ALL.map(branch),
            reconstruction: (
                Winograd::new(&reconstruction.input, &[c; 5], &in_order(c)),
                residual_blocks(&reconstruction.blocks),
            ),
            upsample1: upsample(&weights.upsample1),
            upsample2: upsample(&weights.upsample2),
            conv_hr: Winograd::new(conv_hr, &[conv_hr.cin], &in_order(conv_hr.cout)),
            conv_last: Narrow::new(&weights.conv_last, padded(conv_hr.cout)),
        }
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> u64 {
        let blocks = |blocks: &[[Winograd; 2]]| blocks.iter().flatten().map(Winograd::bytes).sum::<u64>();
        let flow = self.spynet.iter().flat_map(|level| &level.convs).map(Direct::bytes).sum::<u64>();
        let branch = |b: &Propagation| {
            b.offset.iter().map(Winograd::bytes).sum::<u64>()
                + b.deform.bytes()
                + b.input.bytes()
                + blocks(&b.blocks)
        };
        let tail = [&self.reconstruction.0, &self.upsample1, &self.upsample2, &self.conv_hr];
        flow + self.feat_extract.0.iter().map(Direct::bytes).sum::<u64>()
            + blocks(&self.feat_extract.1)
            + self.branches.iter().map(branch).sum::<u64>()
            + blocks(&self.reconstruction.1)
            + tail.into_iter().map(Winograd::bytes).sum::<u64>()
    }
}

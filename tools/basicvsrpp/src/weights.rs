//! The network's weights, typed and checked: what every engine is built from.
//!
//! The published networks fix most sizes (64 channels in the tail, six pyramid levels, 16 deformable groups). Here
//! they come from the tensors, so that a network with smaller parts is the same type.

use crate::checkpoint::{Checkpoint, CheckpointError, Tensor};
use std::collections::BTreeMap;

/// The four propagation branches, in the order in which they run. Each later one sees the finished earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Branch {
    /// From the last frame to the first.
    Backward1,
    /// From the first frame to the last.
    Forward1,
    /// From the last frame to the first, again.
    Backward2,
    /// From the first frame to the last, again.
    Forward2,
}

impl Branch {
    /// All four, in order; `Branch::ALL[b as usize] == b`.
    pub const ALL: [Self; 4] = [Self::Backward1, Self::Forward1, Self::Backward2, Self::Forward2];

    /// The name in checkpoints.
    pub const fn name(self) -> &'static str {
        ["backward_1", "forward_1", "backward_2", "forward_2"][self as usize]
    }
}

/// A convolution with bias, padded with zeros by half its side; of stride 1 unless said otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Input channels.
    pub cin: usize,
    /// Output channels.
    pub cout: usize,
    /// Side of the square kernel, odd.
    pub k: usize,
    /// `cout, cin, k, k` in C order.
    pub weight: Vec<f32>,
    /// `cout`.
    pub bias: Vec<f32>,
}

/// "Residual blocks with input convolution": `input`, leaky ReLU, then `x + conv2(relu(conv1(x)))` for each block.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocks {
    /// To `C` channels.
    pub input: Conv,
    /// `[conv1, conv2]` of every block, `C` to `C`.
    pub blocks: Vec<[Conv; 2]>,
}

/// The flow network: a pyramid of small networks, each of which corrects the flow of the level before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Spynet {
    /// Subtracted from R, G, B.
    pub mean: [f32; 3],
    /// R, G, B are divided by it after that.
    pub std: [f32; 3],
    /// Coarsest level first; the convolutions of a level, from 8 channels (reference, warped support, flow) to 2 (x, y).
    pub levels: Vec<Vec<Conv>>,
}

impl Spynet {
    /// Frames are resized to multiples of this before the pyramid is built: 32 with six levels.
    pub fn multiple(&self) -> usize {
        1 << (self.levels.len() - 1)
    }
}

/// Second-order flow-guided deformable alignment of one branch.
#[derive(Clone, Debug, PartialEq)]
pub struct Align {
    /// `3C + 4` channels (previous feature warped, spatial feature, second-order feature warped, both flows) to
    /// `27 * groups`: offsets of the first and of the second order, then the mask. Leaky ReLU between them.
    pub offset: Vec<Conv>,
    /// The deformable convolution, `2C` to `C` channels.
    pub deform: Conv,
}

impl Align {
    /// Deformable groups: 16 in the published networks. The first half belongs to the first order.
    pub fn groups(&self) -> usize {
        self.offset[self.offset.len() - 1].cout / 27
    }

    /// The same alignment in more groups, a multiple of those there are: neighbouring groups share their offsets. For
    /// engines whose kernels have a fixed number.
    pub fn in_groups(&self, groups: usize) -> Self {
        let mut align = self.clone();
        let share = groups / self.groups();
        let Some(last) = align.offset.last_mut() else { return align };
        let (old, taps) = (last.clone(), last.cin * last.k * last.k);
        let masks = (18 * self.groups(), 18 * groups);
        let from = |channel: usize| {
            let (base, place, size) = match channel.checked_sub(masks.1) {
                None => (0, channel, 18),
                Some(place) => (masks.0, place, 9),
            };
            base + place / size / share * size + place % size
        };
        last.cout = 27 * groups;
        last.weight = (0..last.cout).flat_map(|o| &old.weight[from(o) * taps..][..taps]).copied().collect();
        last.bias = (0..last.cout).map(|o| old.bias[from(o)]).collect();
        align
    }
}

/// One propagation branch.
#[derive(Clone, Debug, PartialEq)]
pub struct Propagation {
    /// Brings the earlier features of this branch to the current frame.
    pub align: Align,
    /// Refines the aligned feature; input `[spatial, earlier branches, aligned]`.
    pub backbone: Blocks,
}

/// All of the network's weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Channels of every feature, `C`.
    pub mid_channels: usize,
    /// The flow network.
    pub spynet: Spynet,
    /// Convolutions of stride 2, each with a leaky ReLU, that come before `feat_extract` in networks that keep the
    /// input's size (deblurring, denoising, decompression): two, so that all the rest works at a quarter of it. None in
    /// networks that enlarge.
    pub strided: Vec<Conv>,
    /// Spatial features: from RGB, or from what the strided convolutions give.
    pub feat_extract: Blocks,
    /// The branches, by `Branch as usize`.
    pub branches: [Propagation; 4],
    /// From `5C` channels: spatial feature and the four branches.
    pub reconstruction: Blocks,
    /// Before the first pixel shuffle.
    pub upsample1: Conv,
    /// Before the second pixel shuffle.
    pub upsample2: Conv,
    /// At full resolution.
    pub conv_hr: Conv,
    /// To the RGB residue.
    pub conv_last: Conv,
}

impl Weights {
    /// Output pixels for one pixel of a feature, across and down.
    pub const SCALE: usize = 4;

    /// Input pixels for one pixel of a feature, across and down: 1, or 4 in networks that keep the size.
    pub fn stride(&self) -> usize {
        1 << self.strided.len()
    }

    /// Output pixels for one input pixel, across and down: 4, or 1 in networks that keep the size.
    pub fn scale(&self) -> usize {
        Self::SCALE / self.stride()
    }

    /// Types and checks the tensors of a checkpoint; what is missing, left over or of the wrong shape is named.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, CheckpointError> {
        Self::from_tensors(checkpoint.tensors.clone())
            .map_err(|reason| CheckpointError { file: checkpoint.file.clone(), reason })
    }

    /// The same from bare tensors, named as in the published checkpoints without `generator.`.
    pub fn from_tensors(tensors: BTreeMap<String, Tensor>) -> Result<Self, String> {
        let mut rest = Tensors(tensors);
        let (strided, feat_extract) = rest.extraction()?;
        let c = feat_extract.input.cout;
        let spynet = rest.spynet()?;
        let mut branches = Vec::new();
        for (before, branch) in Branch::ALL.into_iter().enumerate() {
            branches.push(Propagation {
                align: rest.align(&format!("deform_align.{}", branch.name()), c)?,
                backbone: rest.blocks(&format!("backbone.{}", branch.name()), (2 + before) * c, Some(c))?,
            });
        }
        let Ok(branches) = <[Propagation; 4]>::try_from(branches) else {
            unreachable!("there are four branches")
        };
        let reconstruction = rest.blocks("reconstruction", 5 * c, Some(c))?;
        let upsample1 = rest.upsample("upsample1.upsample_conv", c)?;
        let upsample2 = rest.upsample("upsample2.upsample_conv", upsample1.cout / 4)?;
        let conv_hr = rest.conv("conv_hr", None, upsample2.cout / 4, Some(3))?;
        let conv_last = rest.conv("conv_last", Some(3), conv_hr.cout, Some(3))?;
        rest.0.remove("step_counter"); // the trainer's
        if let Some(name) = rest.0.keys().next() {
            return Err(format!("tensor {name} is not part of BasicVSR++ ({} left over)", rest.0.len()));
        }
        Ok(Self {
            mid_channels: c,
            spynet,
            strided,
            feat_extract,
            branches,
            reconstruction,
            upsample1,
            upsample2,
            conv_hr,
            conv_last,
        })
    }

    /// Residual blocks in the backbone of `backward_1`: `B` of the published networks, where all branches agree.
    pub fn num_blocks(&self) -> usize {
        self.branches[0].backbone.blocks.len()
    }
}

/// Tensors that have not been used yet.
struct Tensors(BTreeMap<String, Tensor>);

impl Tensors {
    fn take(&mut self, name: &str, want: impl Fn(&[usize]) -> Vec<usize>) -> Result<Tensor, String> {
        let tensor = self.0.remove(name).ok_or_else(|| format!("tensor {name} of BasicVSR++ is missing"))?;
        let want = want(&tensor.shape);
        if tensor.shape != want {
            let list = |s: &[usize]| s.iter().map(|n| n.to_string()).collect::<Vec<_>>().join(",");
            let (have, want) = (list(&tensor.shape), list(&want));
            return Err(format!("tensor {name}: found {have} where {want} is needed"));
        }
        match tensor.data.iter().position(|x| !x.is_finite()) {
            Some(at) => Err(format!("tensor {name}: value {at} is {}", tensor.data[at])),
            None => Ok(tensor),
        }
    }

    /// `cout` or `k` left open: what the tensor has, as long as it can be one.
    fn conv(
        &mut self,
        name: &str,
        cout: Option<usize>,
        cin: usize,
        k: Option<usize>,
    ) -> Result<Conv, String> {
        let weight = self.take(&format!("{name}.weight"), |have| {
            let cout = cout.or(have.first().copied()).unwrap_or(0).max(1);
            let k = k.or(have.get(2).copied()).unwrap_or(3) | 1;
            vec![cout, cin, k, k]
        })?;
        let cout = weight.shape[0];
        let bias = self.take(&format!("{name}.bias"), |_| vec![cout])?;
        Ok(Conv { cin, cout, k: weight.shape[2], weight: weight.data, bias: bias.data })
    }

    /// A convolution before a pixel shuffle by 2: a multiple of four output channels.
    fn upsample(&mut self, name: &str, cin: usize) -> Result<Conv, String> {
        let cout = self.0.get(&format!("{name}.weight")).and_then(|t| t.shape.first());
        let cout = cout.map(|n| n.next_multiple_of(4));
        self.conv(name, cout, cin, Some(3))
    }

    fn blocks(&mut self, name: &str, cin: usize, cout: Option<usize>) -> Result<Blocks, String> {
        let input = self.conv(&format!("{name}.main.0"), cout, cin, Some(3))?;
        let c = input.cout;
        let mut blocks = Vec::new();
        while self.any(&format!("{name}.main.2.{}.", blocks.len())) {
            let block = format!("{name}.main.2.{}", blocks.len());
            blocks.push([
                self.conv(&format!("{block}.conv1"), Some(c), c, Some(3))?,
                self.conv(&format!("{block}.conv2"), Some(c), c, Some(3))?,
            ]);
        }
        Ok(Blocks { input, blocks })
    }

    /// The feature extractor. Networks that keep the size have it as layer 4 of a sequence that begins with two strided
    /// convolutions; the odd numbers are the activations.
    fn extraction(&mut self) -> Result<(Vec<Conv>, Blocks), String> {
        if !self.any("feat_extract.4.") {
            return Ok((Vec::new(), self.blocks("feat_extract", 3, None)?));
        }
        let first = self.conv("feat_extract.0", None, 3, Some(3))?;
        let second = self.conv("feat_extract.2", None, first.cout, Some(3))?;
        let blocks = self.blocks("feat_extract.4", second.cout, None)?;
        Ok((vec![first, second], blocks))
    }

    fn align(&mut self, name: &str, c: usize) -> Result<Align, String> {
        let mut offset = Vec::new();
        let mut cin = 3 * c + 4;
        // Layers 0, 2, 4, …: the odd numbers are the activations.
        for layer in (0..).step_by(2) {
            let conv = format!("{name}.conv_offset.{layer}");
            let last = !self.any(&format!("{name}.conv_offset.{}.", layer + 2));
            let cout = last.then(|| {
                let have = self.0.get(&format!("{conv}.weight")).and_then(|t| t.shape.first());
                offset_channels(have.copied().unwrap_or(432), c)
            });
            offset.push(self.conv(&conv, cout, cin, Some(3))?);
            cin = offset[offset.len() - 1].cout;
            if last {
                break;
            }
        }
        let deform = self.conv(name, Some(c), 2 * c, Some(3))?;
        Ok(Align { offset, deform })
    }

    fn spynet(&mut self) -> Result<Spynet, String> {
        let mut rgb = |name: &str| {
            let tensor = self.take(name, |_| vec![1, 3, 1, 1])?;
            Ok::<_, String>([tensor.data[0], tensor.data[1], tensor.data[2]])
        };
        let (mean, std) = (rgb("spynet.mean")?, rgb("spynet.std")?);
        let mut levels = Vec::new();
        while levels.is_empty() || self.any(&format!("spynet.basic_module.{}.", levels.len())) {
            let level = format!("spynet.basic_module.{}.basic_module", levels.len());
            let mut convs: Vec<Conv> = Vec::new();
            loop {
                let cin = convs.last().map_or(8, |c| c.cout);
                let last = !self.any(&format!("{level}.{}.", convs.len() + 1));
                convs.push(self.conv(
                    &format!("{level}.{}.conv", convs.len()),
                    last.then_some(2),
                    cin,
                    None,
                )?);
                if last {
                    break;
                }
            }
            levels.push(convs);
        }
        Ok(Spynet { mean, std, levels })
    }

    fn any(&self, prefix: &str) -> bool {
        self.0.range(prefix.to_owned()..).next().is_some_and(|(name, _)| name.starts_with(prefix))
    }
}

/// The closest count of offset and mask channels that makes sense: 27 for each group, an even number of groups, each
/// with an equal share of the `2c` input channels.
fn offset_channels(have: usize, c: usize) -> usize {
    let groups = have / 27;
    let fits = groups > 0 && groups.is_multiple_of(2) && (2 * c).is_multiple_of(groups);
    27 * if fits { groups } else { 16 }
}

# Storage Diet: each way to keep a film's intermediate files from eating the disk is one target, and each target is pipelines of
# the six tools and ffmpeg. `make help` lists them; `make -n option4 SRC=film.mkv` prints one that a shell runs.
#
# What is written with `=` is read by storage-diet (tools/storage-diet): variables, stages and options. It puts the values into
# the words of a stage, runs the pipes, and keeps, counts and proves what they make. What is written with `:=` is make's own.

.SHELLFLAGS   := -o pipefail -euc
.ONESHELL:
.SILENT:
.DEFAULT_GOAL := help

# What is typed is data, whatever is in it: never expanded here, handed on as it is, checked by storage-diet.
typed         := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
$(foreach name,$(typed),$(eval override $(name) := $$(value $(name))))
override SHELL := bash
export STORAGE_DIET_TYPED := $(filter-out BIN PREFIX DESTDIR -%,$(typed))
export $(filter-out BIN -%,$(typed))

# Whatever is in the path of this folder: make's own functions would take a blank in it for an end.
quoted         = '$(subst ','\'',$1)'
HERE          := $(shell cd "$$(dirname $(call quoted,$(subst :^:,,$(subst :^: ,,:^:$(MAKEFILE_LIST)))))" && pwd)
BIN           := $(HERE)/target/release

# What to make of what.
SRC      =#                   the film: a PAL DVD remux, 25 frames a second
OUT      = out#               each option makes a folder of its name in it
WEIGHTS  = builtin#           BasicVSR++ checkpoint: a .pth or .safetensors file, or builtin
ENGINE   =#                   another model instead: the command that `sr-window --engine` takes
START    = 0#                 first film frame, or a time, such as 10min
FRAMES   =#                   how many, or a time; empty: to the film's end
FROM     = 25#                frames a second of the film; 24: it is stored as film, and nothing is slowed
GAPS     =#                   where frames are missing: repeat the one before, or cut sound and subtitles; empty: refuse
MATRIX   =#                   of the film's colours, such as bt470bg; empty: as it says itself, PAL's where it does not
PART     =#                   I/N: only the I-th of N parts, to be joined; options whose film is made in segments
KEEP     =#                   1: the mezzanines stay
SAMPLES  = 5#                 how many groups of 48 frames `make plan` tries
SAMPLE   = 20s#               how much of the film `make report` runs

# The picture.
SCALE    = sar#               square pixels by the film's own aspect, or WxH
CROP     = none#              W:H:X:Y in the scaled picture; auto: what `deint-crop --analyze` finds
FIELD_PHASE = off#            every frame is deinterlaced; auto: only where its fields are of two film frames
WINDOW   = 96#                frames that sr-window emits per window
OVERLAP  = 8#                 and those on either side that it computes and throws away
DEVICE   = auto#              auto, cpu, cuda, cuda:0,1
HEIGHT   = 1440#              of the finished film; the width follows

# The encoders.
ENCODER  = x265#              of the finished film; or svtav1
PRESET   =#                   empty: the encoder's preset-…
CRF      =#                   empty: the encoder's crf-…
TUNE     = grain#             x265's
MEZZ     = nvenc#             option3's encoder; x265 where there is no NVENC
QP       = 18#                of option3's mezzanine
AUDIO    = pitch-kept#        or pitch-lowered, which undoes the PAL speed-up

# The job.
SEGMENT  = 10min#             length of one segment
MAX_DISK =#                   hard limit on the segments' folder, such as 60GB
JOBS     = 1#                 segments encoded at once

# The stages. {name} is a word that storage-diet fills in; [ ] are left out where what is in them has no value. first, next and
# the like are frames of the film: the first that sr-window reads, the first that it emits, how many it and deint-crop see.
# whole keeps an ffmpeg that crops what the container says from doing so. Colours are tagged on the frames, which every encoder
# believes; options of the output, such as -color_trc, count for nothing since ffmpeg 8 where the frames do not say.
decode    = $(ffmpeg) [{whole}] [-ss {seek}] -i {src} -map 0:V:0 \
              [-copyts -vf setpts={places},fps={from},tpad=stop=1:stop_mode=clone] \
              -fps_mode passthrough [-frames:v {limit}] -f yuv4mpegpipe -
prepare   = deint-crop --field-phase {field_phase} [--field-orders {field_orders}] [--matrix-in {matrix}] \
              [--chromaloc-in {chromaloc}] --scale {scale} --crop {crop} --start {first} [--frames {context}] \
              --expect-frames {read} [--report {reports}/deint-crop.json]
enlarge   = sr-window [--engine {engine}] [--weights {weights} --device {device}] --window {window} --overlap {overlap} \
              --size {raw} $(rgb48) --first-frame {first} --start {next} [--frames {emit}] --expect-frames {seen} \
              [--report {reports}/sr-window.json]
retime    = retime25to24 --from {from} --to 24 --height {height} --out-pix-fmt yuv420p10le --format y4m [--size {raw} $(rgb48)] \
              --expect-frames {frames} [--report {reports}/retime25to24.json]
segments  = seg-sink --dir segments --resume --first-frame {done} [{upstream}] --segment {segment}f --jobs {jobs} \
              [--max-disk {max_disk}] [{keep}] [--size {raw} $(rgb48)] --expect-frames {all} \
              [--report {reports}/seg-sink.json] --output {out}
prores    = $(rgb) -pix_fmt yuv422p10le -c:v prores_ks -vendor apl0 -profile:v 2 {out}
prores-lt = $(rgb) -pix_fmt yuv422p10le -c:v prores_ks -vendor apl0 -profile:v 1 {out}
intra     = $(rgb) $(intra-{mezz}) {out}
read-rgb  = $(ffmpeg) -i {in} -vf zscale=matrixin=709:rangein=limited:matrix=gbr:range=full,format=gbrp16le \
              -pix_fmt rgb48le -f rawvideo -
read-yuv  = $(ffmpeg) -i {in} -strict -1 -f yuv4mpegpipe -
encode    = $(ffmpeg) -i - -vf $(bt709) $(encode-{encoder}) -preset {preset} -crf {crf} -pix_fmt yuv420p10le {out}

ffmpeg    = ffmpeg -hide_banner -loglevel error -nostdin -y
rgb48     = --pix-fmt rgb48le --rate {from}
rgb       = $(ffmpeg) -f rawvideo -s {raw} -pix_fmt rgb48le -r {from} -i - \
              -vf format=gbrp16le,zscale=matrix=709:range=limited,$(bt709)
bt709     = setparams=range=limited:color_primaries=bt709:color_trc=bt709:colorspace=bt709

intra-nvenc   = -pix_fmt p010le -c:v hevc_nvenc -profile:v main10 -preset p5 -tune hq -rc constqp -qp {qp} -g 1 -bf 0
intra-x265    = -pix_fmt yuv420p10le -c:v libx265 -preset fast -x265-params qp={qp}:keyint=1:log-level=error
encode-x265   = -c:v libx265 -tune {tune} -x265-params $(x265)
x265          = aq-mode=3:aq-strength=0.8:rc-grain=1:keyint=48:min-keyint=24:open-gop=0:frame-threads=3:log-level=error
preset-x265   = slow
crf-x265      = 16
encode-svtav1 = -c:v libsvtav1 -g 48
preset-svtav1 = 6
crf-svtav1    = 24

##@ A film: make option5 SRC=film.mkv OUT=dir WEIGHTS=file

# The options, each a line: its passes, one behind `;` after another. What is behind `>` stays on the disk until the film is
# finished, but for what `segments` has in parentheses: of these there are never more than JOBS + 1.
option0: ## ProRes 422 on the disk before and after sr-window
option0: pipeline = decode | prepare | prores >pre.mov; read-rgb <pre.mov | enlarge | prores >mezz.mov; read-yuv <mezz.mov | retime | encode
option1: ## as option0, with ProRes LT before sr-window
option1: pipeline = decode | prepare | prores-lt >pre.mov; read-rgb <pre.mov | enlarge | prores >mezz.mov; read-yuv <mezz.mov | retime | encode
option2: ## as option0, with nothing on the disk before sr-window
option2: pipeline = decode | prepare | enlarge | prores >mezz.mov; read-yuv <mezz.mov | retime | encode
option3: ## as option2, with HEVC all-intra (NVENC, or MEZZ=x265) after sr-window
option3: pipeline = decode | prepare | enlarge | intra >mezz.mkv; read-yuv <mezz.mkv | retime | encode
option4: ## straight to x265, no mezzanine; segments only so that it can be resumed
option4: pipeline = decode | prepare | enlarge | retime | segments(encode)
option5: ## ProRes 422 in segments: each is encoded, proved and deleted
option5: pipeline = decode | prepare | enlarge | segments(prores >mezz.mkv; read-yuv <mezz.mkv | retime | encode)
recommended: ## options 0, 1 and 5 together
recommended: pipeline = decode | prepare | prores-lt >pre.mov; \
    read-rgb <pre.mov | enlarge | segments(prores >mezz.mkv; read-yuv <mezz.mkv | retime | encode)

tight: option3 ## where the disk is small: option3
direct: option4 ## where the disk matters more than the clock: option4

# What storage-diet is asked to do: its subcommand is the target. Under -n it prints an option's pipes as a shell runs them.
films    := $(shell sed -n 's/^\([a-z0-9-]*\): pipeline =.*/\1/p' $(call quoted,$(HERE)/Makefile))
dry      := $(findstring n,$(filter-out --%,$(firstword -$(MAKEFLAGS))))
diet     := exec $(call quoted,$(BIN)/storage-diet)

$(films): tools
ifeq ($(dry),)
	$(diet) $@
else
$(films): SHELL := $(BIN)/storage-diet
$(films): .SHELLFLAGS := print
$(films):
	+# $@
endif

resume: tools ## go on with what was interrupted in OUT
	$(diet) resume
join: tools ## make one film of the parts in OUT
	$(diet) join
status: tools ## how far the jobs in OUT have come
	$(diet) status

##@ About a film

plan: tools ## what every option would take of disk and time, from samples of the film
	$(diet) plan
report: tools ## every option on SAMPLE of the film, measured, beside the plan and the note, as a page: OUT/report
	$(diet) report
verify: tools ## prove the films in OUT: pictures, frames, and every stream's end on the one clock
	$(diet) verify
subs: tools ## bitmap subtitles to text, for a person to look over: SRC=film.mkv OUT=dir LANG=eng
	$(diet) subs

##@ The tools, in their repository

build: ## compile the tools
	cargo build --release --workspace --bins --manifest-path $(call quoted,$(HERE)/Cargo.toml)
tools: $(if $(subst $(HERE)/target/release,,$(BIN)),,build)
demo: ## set up, build, and make two small films
	scripts/setup
	$(MAKE) --no-print-directory build
	scripts/demo
check: ## everything a change must pass
	scripts/setup check
	scripts/check
torture: ## kill, starve and lie to seg-sink, a thousand times
	scripts/torture
drift: ## a film of 128 minutes, and how far anything is off at its end
	scripts/drift
lint: ## formatting, clippy, shellcheck, manual pages
	scripts/lint
bench: build ## each tool beside what it replaces, in one run, into bench/baselines.md
	scripts/bench | tee bench/baselines.md
bench-gpu: build ## the network beside PyTorch on this machine's GPU
	cargo build --release --package basicvsrpp --examples
	scripts/bench-gpu
fuzz: ## the parsers of subs-retime, ten minutes each
	scripts/fuzz
man: ## read the system's manual page
	man -l man/storage-diet.7
clean: ## remove what was built
	cargo clean
	rm -rf out

install: build ## the tools, their pages and completions, and this file as `storage-diet`: PREFIX=/usr/local DESTDIR=
	scripts/install
uninstall: ## and away
	scripts/install --remove
deb: build ## a Debian package, in target/
	scripts/deb

help: ## this list
	awk -F':.*## ' '/^##@/ { print "\n" substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(call quoted,$(HERE)/Makefile)

.PHONY: $(shell sed -n 's/^\([a-z0-9-]*\):.*/\1/p' $(call quoted,$(HERE)/Makefile))

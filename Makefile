# Storage Diet: each way to keep a film's intermediate files from eating the disk is one target, and each target is one
# shell pipeline of the five tools and ffmpeg. `make help` lists them; `make -n option4 SRC=film.mkv` prints one.

SHELL         := bash
.SHELLFLAGS   := -o pipefail -euc
.ONESHELL:
$(if $(V),,.SILENT:)
.DEFAULT_GOAL := help
HERE          := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
$(if $(filter %/scripts/job,$(wildcard $(HERE)/scripts/job)),,$(error this folder has a blank in its path, which make cannot do with))

# What to make of what.
SRC      =#                   the film: a PAL DVD remux, 25 frames a second
OUT      = out#               each option makes a folder of its name in it
WEIGHTS  = builtin#           BasicVSR++ checkpoint: a .pth or .safetensors file, or builtin
ENGINE   =#                   another model instead: the command that `sr-window --engine` takes
START    = 0#                 first film frame
FRAMES   =#                   how many; empty: to the film's end
PART     =#                   I/N: only the I-th of N parts, to be joined; options 4, 5 and recommended
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
PRESET   = $(PRESET-$(ENCODER))
CRF      = $(CRF-$(ENCODER))
TUNE     = grain#             x265's
MEZZ     = nvenc#             option3's encoder; x265 where there is no NVENC
QP       = 18#                of option3's mezzanine
AUDIO    = pitch-kept#        or pitch-lowered, which undoes the PAL speed-up

# The job.
SEGMENT  = 10min#             length of one segment
MAX_DISK =#                   hard limit on the segments' folder, such as 60GB
JOBS     = 1#                 segments encoded at once

PREFIX   = /usr/local
BIN      = $(if $(wildcard $(HERE)/Cargo.toml),$(HERE)/target/release)

# Paths are what was typed, whatever is in them.
$(foreach path,SRC OUT WEIGHTS ENGINE,$(eval override $(path) := $$(value $(path))))
$(if $(OUT),,$(error OUT: say which folder, as OUT=dir))
settings := SRC WEIGHTS ENGINE START FRAMES PART KEEP SCALE CROP FIELD_PHASE WINDOW OVERLAP DEVICE HEIGHT ENCODER PRESET CRF \
            TUNE MEZZ QP AUDIO SEGMENT MAX_DISK JOBS
export settings $(settings) OUT SAMPLES SAMPLE PREFIX DESTDIR BIN
# An installation's tools are in its own bin. Where that is in PATH already, it is no reason to prefer another ffmpeg.
tools-in := $(abspath $(or $(BIN),$(HERE)/../../bin))
export PATH := $(if $(BIN),$(tools-in):,$(if $(findstring :$(tools-in):,:$(PATH):),,$(tools-in):))$(PATH)

# The stages. FIRST, NEXT, END, SEEN and READ are frames of the film: the first that sr-window reads, the first and the end of
# those that it emits, the end of those that it and that deint-crop read. Only where a part ends before the film does are the
# last three not the same. PREPARED and ENLARGED are picture sizes, SEGMENT_FRAMES is SEGMENT. `begin` finds them all.
ffmpeg   = ffmpeg -hide_banner -loglevel error -nostdin -y
decode   = $(ffmpeg) $$SEEK -i "$$SRC" -map 0:v:0 -fps_mode passthrough $$LIMIT -f yuv4mpegpipe -
prepare  = deint-crop --field-phase $(FIELD_PHASE) --scale $(SCALE) --crop $$CROP --start $$FIRST $$CONTEXT \
             --expect-frames $$READ $(call report,deint-crop)
enlarge  = sr-window $(network) --size $$PREPARED $(rgb48) --first-frame $$FIRST --start $$NEXT $$EMIT \
             --expect-frames $$((SEEN - FIRST)) $(call report,sr-window)
network  = $(if $(ENGINE),--engine "$$ENGINE",--weights "$$WEIGHTS" --device $(DEVICE)) --window $$WINDOW --overlap $$OVERLAP
retime   = retime25to24 --from 25 --to 24 --height $(HEIGHT) --out-pix-fmt yuv420p10le --format y4m
whole    = --expect-frames $$((END - NEXT)) $(call report,retime25to24)
sink     = seg-sink --dir segments --resume --first-frame $$((NEXT - START)) $(1:%=--upstream-report reports/%.json) \
             --segment $${SEGMENT_FRAMES}f --jobs $(JOBS) $(if $(MAX_DISK),--max-disk "$$MAX_DISK") \
             $(if $(KEEP),--keep) --expect-frames $$((END - START)) $(call report,seg-sink) --output video.mkv >>reports/events
halves   = >/dev/null seg-sink --dir $$to/segments --segment $$((LENGTH > 1 ? LENGTH / 2 : 1))f --output $$to/video.mkv# of a sample
unless-done = [ $$NEXT = $$END ] ||
rgb48    = --pix-fmt rgb48le --rate 25
report   = --report reports/$(1).json

# ffmpeg's part. $(1) is a picture size or a file; `{size}`, `{in}` and the like are filled in by seg-sink.
bt709    = -color_primaries bt709 -color_trc bt709 -colorspace bt709 -color_range tv
rgb      = $(ffmpeg) -f rawvideo -s $(1) -pix_fmt rgb48le -r 25 -i - \
             -vf format=gbrp16le,zscale=matrix=709:range=limited,setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709
prores   = $(rgb) -pix_fmt yuv422p10le -c:v prores_ks -vendor apl0 -profile:v $(2) $(bt709)
intra    = $(rgb) $(intra-$(MEZZ)) $(bt709)
intra-nvenc = -pix_fmt p010le -c:v hevc_nvenc -profile:v main10 -preset p5 -tune hq -rc constqp -qp $(QP) -g 1 -bf 0
intra-x265  = -pix_fmt yuv420p10le -c:v libx265 -preset fast -x265-params qp=$(QP):keyint=1:log-level=error
encode   = $(encode-$(ENCODER)) -preset $(PRESET) -crf $(CRF) -pix_fmt yuv420p10le $(bt709)
encode-x265 = -c:v libx265 -tune $(TUNE) -x265-params $(x265-params)
x265-params = aq-mode=3:aq-strength=0.8:rc-grain=1:keyint=48:min-keyint=24:open-gop=0:frame-threads=3:log-level=error
encode-svtav1 = -c:v libsvtav1 -g 48
PRESET-x265 = slow
PRESET-svtav1 = 6
CRF-x265 = 16
CRF-svtav1 = 24
read-rgb = $(ffmpeg) -i $(1) -vf zscale=matrixin=709:rangein=limited:matrix=gbr:range=full,format=gbrp16le \
             -pix_fmt rgb48le -f rawvideo -
read-yuv = $(ffmpeg) -i $(1) -strict -1 -f yuv4mpegpipe -

lt       = 1
standard = 2

define begin
. $(HERE)/scripts/job
begin $@
endef

##@ A film: make option5 SRC=film.mkv OUT=dir WEIGHTS=file

option0: tools ## ProRes 422 on the disk before and after sr-window
	$(begin)
	[ -e pre.mov ] || { $(decode) | $(prepare) | $(call prores,$$PREPARED,$(standard)) -f mov pre.part; made pre.mov; }
	[ -e mezz.mov ] || { $(call read-rgb,pre.mov) | $(enlarge) | $(call prores,$$ENLARGED,$(standard)) -f mov mezz.part; made mezz.mov; }
	$(call read-yuv,mezz.mov) | $(retime) $(whole) | $(ffmpeg) -i - $(encode) -f matroska video.part
	made video.mkv
	finish

option1: tools ## as option0, with ProRes LT before sr-window
	$(begin)
	[ -e pre.mov ] || { $(decode) | $(prepare) | $(call prores,$$PREPARED,$(lt)) -f mov pre.part; made pre.mov; }
	[ -e mezz.mov ] || { $(call read-rgb,pre.mov) | $(enlarge) | $(call prores,$$ENLARGED,$(standard)) -f mov mezz.part; made mezz.mov; }
	$(call read-yuv,mezz.mov) | $(retime) $(whole) | $(ffmpeg) -i - $(encode) -f matroska video.part
	made video.mkv
	finish

option2: tools ## as option0, with nothing on the disk before sr-window
	$(begin)
	[ -e mezz.mov ] || { $(decode) | $(prepare) | $(enlarge) | $(call prores,$$ENLARGED,$(standard)) -f mov mezz.part; made mezz.mov; }
	$(call read-yuv,mezz.mov) | $(retime) $(whole) | $(ffmpeg) -i - $(encode) -f matroska video.part
	made video.mkv
	finish

option3: tools ## as option2, with HEVC all-intra (NVENC, or MEZZ=x265) after sr-window
	$(begin)
	[ -e mezz.mkv ] || { $(decode) | $(prepare) | $(enlarge) | $(call intra,$$ENLARGED) -f matroska mezz.part; made mezz.mkv; }
	$(call read-yuv,mezz.mkv) | $(retime) $(whole) | $(ffmpeg) -i - $(encode) -f matroska video.part
	made video.mkv
	finish

option4: tools ## straight to x265, no mezzanine; segments only so that it can be resumed
	$(begin)
	{ $(unless-done) $(decode) | $(prepare) | $(enlarge) | $(retime) --size $$ENLARGED $(rgb48) $(whole); } |
	$(call sink,deint-crop sr-window retime25to24) --final '$(ffmpeg) -i - $(encode) {out}'
	finish

option5: tools ## ProRes 422 in segments: each is encoded, proved and deleted
	$(begin)
	{ $(unless-done) $(decode) | $(prepare) | $(enlarge); } |
	$(call sink,deint-crop sr-window) --size $$ENLARGED $(rgb48) --mezz '$(call prores,{size},$(standard)) {out}' --final '$(final)'
	finish

recommended: tools ## options 0, 1 and 5 together
	$(begin)
	[ -e pre.mov ] || { $(decode) | $(prepare) | $(call prores,$$PREPARED,$(lt)) -f mov pre.part; made pre.mov; }
	{ $(unless-done) $(call read-rgb,pre.mov) | $(enlarge); } |
	$(call sink,sr-window) --size $$ENLARGED $(rgb48) --mezz '$(call prores,{size},$(standard)) {out}' --final '$(final)'
	finish

# A finished mezzanine segment, slowed and encoded, as seg-sink runs it.
final = bash -o pipefail -c "$(call read-yuv,\"\$$0\") | $(retime) --expect-frames {frames} | $(ffmpeg) -i - $(encode) \"\$$1\"" {in} {out}

tight: option3 ## where the disk is small: option3
direct: option4 ## where the disk matters more than the clock: option4

resume: tools ## go on with what was interrupted in OUT
	$(HERE)/scripts/resume

join: tools ## make one film of the parts in OUT
	$(HERE)/scripts/join

##@ About a film

plan: tools ## what every option would take of disk and time, from samples of the film
	$(begin)
	. $(HERE)/scripts/samples
	samples
	for i in "$${!STARTS[@]}"; do
	    sample $$i
	    stage prepare    '$(decode) | $(prepare) >$$to/prepared'
	    stage pre-422    '$(call prores,$$PREPARED,$(standard)) $$to/pre-422.mov <prepared'
	    stage pre-lt     '$(call prores,$$PREPARED,$(lt)) $$to/pre-lt.mov <prepared'
	    stage enlarge    '$(enlarge) <prepared >$$to/enlarged'
	    stage mezz-422   '$(call prores,$$ENLARGED,$(standard)) $$to/mezz-422.mov <enlarged'
	    [ $(MEZZ) = nvenc ] && ! (has_nvenc) 2>/dev/null || stage mezz-intra '$(call intra,$$ENLARGED) $$to/mezz-intra.mkv <enlarged'
	    stage read-mezz  '$(call read-yuv,mezz-422.mov) >/dev/null'
	    stage retime     '$(retime) --size $$ENLARGED $(rgb48) $(whole) <enlarged >$$to/retimed'
	    stage final      '$(ffmpeg) -i - $(encode) $$to/final.mkv <retimed'
	    stage prove      '$(ffmpeg) -i final.mkv -map 0:v:0 -f framehash -hash murmur3 - >/dev/null'
	    stage read-pre   '$(call read-rgb,pre-422.mov) >$$to/prepared'
	    stage final-pre  '$(enlarge) <prepared | $(retime) --size $$ENLARGED $(rgb48) $(whole) | $(ffmpeg) -i - $(encode) $$to/final-pre.mkv'
	    pass 'prepare pre-422'                    '$(decode) | $(prepare) | $(call prores,$$PREPARED,$(standard)) $$to/pre-422.mov'
	    pass 'prepare enlarge mezz-422'           '$(decode) | $(prepare) | $(enlarge) | $(call prores,$$ENLARGED,$(standard)) $$to/mezz-422.mov'
	    pass 'prepare enlarge mezz-intra'         '$(decode) | $(prepare) | $(enlarge) | $(call intra,$$ENLARGED) $$to/mezz-intra.mkv'
	    pass 'read-mezz retime final'             '$(call read-yuv,mezz-422.mov) | $(retime) $(whole) | $(ffmpeg) -i - $(encode) $$to/final.mkv'
	    pass 'prepare enlarge retime final prove' '$(decode) | $(prepare) | $(enlarge) | $(retime) --size $$ENLARGED $(rgb48) $(whole) | $(halves) \
	         --final '\''$(ffmpeg) -i - $(encode) {out}'\'
	    pass 'prepare enlarge mezz-422 read-mezz retime final prove' '$(decode) | $(prepare) | $(enlarge) | $(halves) \
	         --size $$ENLARGED $(rgb48) --mezz '\''$(call prores,{size},$(standard)) {out}'\'' --final '\''$(final)'\'
	done
	for LENGTH in "$${LENGTHS[@]}"; do
	    $(ffmpeg) -stream_loop -1 -i final.mkv -c copy -frames:v $$LENGTH repeated.mkv
	    stage mux        '$(HERE)/scripts/mux-final --audio $(AUDIO) --start $(START) "$$SRC" repeated.mkv $$to/muxed.mkv'
	done
	predict
report: tools ## every option on SAMPLE of the film, measured, beside the plan and the note, as a page: OUT/report
	$(HERE)/scripts/storage-report
verify: tools ## prove the films in OUT: frames, decode, and every stream's end on the one clock
	$(HERE)/scripts/verify
subs: tools ## bitmap subtitles to text, for a person to look over: SRC=film.mkv OUT=dir LANG=eng
	$(HERE)/scripts/subs-ocr

##@ The tools, in their repository

build: ## compile the five tools
	cargo build --release --workspace --bins --manifest-path $(HERE)/Cargo.toml
tools: $(if $(filter $(HERE)/target/release,$(BIN)),build)
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
	awk -F':.*## ' '$(if $(BIN),,/^##@ The tools/ { exit }) /^##@/ { print "\n" substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(HERE)/Makefile

.PHONY: $(shell sed -n 's/^\([a-z0-9-]*\):.*/\1/p' $(HERE)/Makefile)

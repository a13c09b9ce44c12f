module github.com/backchannel-im/backchannel/scripts/bench/filter

go 1.26

require (
	github.com/BobuSumisu/aho-corasick v1.0.3
	github.com/backchannel-im/backchannel v0.0.0
	github.com/coregx/ahocorasick v0.2.1
	github.com/importcjj/sensitive v0.0.0-20200106142752-42d1c505be7b
	golang.org/x/text v0.14.0
)

require (
	github.com/go-ego/gse v1.0.2 // indirect
	github.com/vcaesar/cedar v0.30.0 // indirect
)

replace github.com/backchannel-im/backchannel => ../../..

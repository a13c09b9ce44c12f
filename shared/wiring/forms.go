package wiring

import "github.com/backchannel-im/backchannel/shared/kv"

// forms are the forms of stored records that are not 1. A release that stores a record
// so that the one before would misread it, or lose a field by writing it back, raises
// the form of its partitions here and goes on reading the older ones ([kv.Item.Form]).
// The release before then refuses such a record instead; see docs/decisions/0050.
var forms = kv.Forms{}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/backchannel-im/backchannel/shared/liveroom/lottery"
)

const lotteryHelp = `
Recomputes the draw of a lottery from the answer of GET
/rooms/{id}/lotteries/{lotteryId} after the draw; FILE is that answer, "-" reads it
from standard input. The command checks that the seed matches the commitment, that
the entries are those that were frozen before the seed was read, that they are in the
order of hex(sha256(seed + ":" + UserID)), and that the first of them won. It needs
no network and no secret, and exits with 1 if a check fails.

  curl -s -H "$AUTH" https://HOST/rooms/live/lotteries/ID | imctl lottery verify -`

// maxLottery bounds an answer that is verified: millions of entries.
const maxLottery = 256 << 20

func verifyLottery(_ context.Context, t *tool, args []string) error {
	rest, err := t.parse(t.flags(lotteryHelp), args, 2, 2)
	if err != nil {
		return err
	}
	if rest[0] != "verify" {
		fmt.Fprintf(t.errs, "usage: imctl %s\n", t.usage)
		return errUsage
	}
	in := io.Reader(os.Stdin)
	if rest[1] != "-" {
		f, err := os.Open(rest[1])
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	var is lottery.Lottery
	if err := json.NewDecoder(io.LimitReader(in, maxLottery)).Decode(&is); err != nil {
		return fmt.Errorf("%s is not the answer of a lottery's route: %w", rest[1], err)
	}
	if err := lottery.Verify(is); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "verified: %d winners of %d entries, %d excluded\n", len(is.Winners), len(is.Entries), len(is.Excluded))
	return nil
}

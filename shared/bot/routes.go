package bot

import (
	"context"
	"net/http"
	"strings"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Day is the cost of a robot's answers on a day of UTC.
type Day struct {
	Day          string `json:"day"` // 2026-11-29
	Answers      int64  `json:"answers"`
	PromptTokens int64  `json:"promptTokens"`
	AnswerTokens int64  `json:"answerTokens"`
}

// DaysOf returns the days on which a robot answered, the newest first, and the cursor
// of the next page, "" at the end.
func (b *Bots) DaysOf(ctx context.Context, robot, after string, limit int) (days []Day, next string, err error) {
	const prefix = "day/"
	r := kv.Range{Prefix: prefix, Limit: limit + 1, Reverse: true}
	if after != "" {
		r.After = prefix + after
	}
	page, err := b.c.Store.List(ctx, usagePartition(robot), r)
	if err != nil {
		return nil, "", err
	}
	days = []Day{}
	for i, item := range page.Items {
		if i == limit {
			return days, days[i-1].Day, nil
		}
		c := item.Counters
		days = append(days, Day{strings.TrimPrefix(item.Key, prefix), c[answers], c[promptTokens], c[answerTokens]})
	}
	return days, "", nil
}

// Routes adds GET /bots/{id}/usage, for servers alone.
func (b *Bots) Routes(mux *http.ServeMux, gate *api.Gate) {
	mux.Handle("GET /bots/{id}/usage", gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		robot := r.PathValue("id")
		if !im.IsRobot(robot) || len(robot) > im.MaxUserID {
			return fault.New(fault.NotFound, "there is no robot with this id: robots' ids begin with %s", im.RobotPrefix)
		}
		page, err := api.ReadPage(r)
		if err != nil {
			return err
		}
		days, next, err := b.DaysOf(r.Context(), robot, page.After, page.Limit)
		if err != nil {
			return err
		}
		api.Reply(w, http.StatusOK, struct {
			Days []Day  `json:"days"`
			Next string `json:"next,omitempty"`
		}{days, next})
		return nil
	}))
}

package desk

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Hours are the business hours of agents. nil means always.
type Hours struct {
	zone *time.Location
	week [7][]span
	days map[string][]span // by date, in place of the weekday's
}

// span is a time of a day in minutes after midnight as clocks show it. The end of
// one that goes past midnight is above 24 hours.
type span struct{ from, to int }

var weekdays = [7]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseHours reads hours such as "Mon-Fri 09:00-18:00; Sat 10:00-12:00,13:00-15:00",
// and dates that differ, such as "2026-12-25; 2026-12-31 09:00-12:00": a date
// without a time is a holiday. A span may go past midnight, as 22:00-06:00.
// Without hours the result is nil: always open.
func ParseHours(hours, dates string, zone *time.Location) (*Hours, error) {
	if strings.TrimSpace(hours) == "" {
		if strings.TrimSpace(dates) != "" {
			return nil, errors.New("holidays need business hours beside them")
		}
		return nil, nil
	}
	h := &Hours{zone: zone, days: make(map[string][]span)}
	for part := range strings.SplitSeq(hours, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		days, times, _ := strings.Cut(part, " ")
		spans, err := parseSpans(times)
		if err != nil {
			return nil, err
		}
		if len(spans) == 0 {
			return nil, fmt.Errorf("%q has no time: write Mon-Fri 09:00-18:00", part)
		}
		if err := h.setDays(days, spans); err != nil {
			return nil, err
		}
	}
	for part := range strings.SplitSeq(dates, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		date, times, _ := strings.Cut(part, " ")
		if _, err := time.Parse(time.DateOnly, date); err != nil {
			return nil, fmt.Errorf("%q is no date: write 2026-12-25", date)
		}
		spans, err := parseSpans(times)
		if err != nil {
			return nil, err
		}
		h.days[date] = spans
	}
	return h, nil
}

// setDays sets the spans of days such as Mon-Fri or Sat,Sun.
func (h *Hours) setDays(days string, spans []span) error {
	for part := range strings.SplitSeq(strings.ToLower(days), ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, to := slices.Index(weekdays[:], first), slices.Index(weekdays[:], last)
		if from < 0 || to < 0 {
			return fmt.Errorf("%q are no days: write Mon-Fri, or Sat,Sun", days)
		}
		for d := from; ; d = (d + 1) % 7 {
			h.week[d] = append(h.week[d], spans...)
			if d == to {
				break
			}
		}
	}
	return nil
}

func parseSpans(times string) (spans []span, err error) {
	for part := range strings.SplitSeq(times, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		first, last, _ := strings.Cut(part, "-")
		from, errFrom := parseClock(first)
		to, errTo := parseClock(last)
		if err := cmp.Or(errFrom, errTo); err != nil {
			return nil, fmt.Errorf("%q is no time of a day: write 09:00-18:00", part)
		}
		if to <= from {
			to += 24 * 60
		}
		spans = append(spans, span{from, to})
	}
	return spans, nil
}

func parseClock(s string) (minutes int, err error) {
	if s == "24:00" {
		return 24 * 60, nil
	}
	at, err := time.Parse("15:04", s)
	return at.Hour()*60 + at.Minute(), err
}

// zoneOr returns the time zone of that name, or the desk's own.
func (h *Hours) zoneOr(name string) *time.Location {
	if zone, err := time.LoadLocation(name); err == nil && name != "" && name != "Local" {
		return zone
	}
	return h.zone
}

// horizon is how many days ahead an opening is looked for.
const horizon = 400

// Open reports whether a time is within the hours.
func (h *Hours) Open(at time.Time) bool {
	if h == nil {
		return true
	}
	y, m, d := at.In(h.zone).Date()
	for back := range 2 { // the day before may go past midnight
		for _, o := range h.openings(y, m, d-back) {
			if !at.Before(o[0]) && at.Before(o[1]) {
				return true
			}
		}
	}
	return false
}

// Next returns the next begin of business hours after a time outside of them. It is
// false if that is more than a year away.
func (h *Hours) Next(at time.Time) (next time.Time, known bool) {
	if h.Open(at) {
		return at, true
	}
	y, m, d := at.In(h.zone).Date()
	for ahead := range horizon {
		for _, o := range h.openings(y, m, d+ahead) {
			if o[0].After(at) && (next.IsZero() || o[0].Before(next)) {
				next = o[0]
			}
		}
		if !next.IsZero() {
			return next, true
		}
	}
	return time.Time{}, false
}

// openings are from when to when somebody is there, of those that begin at a day.
func (h *Hours) openings(y int, m time.Month, d int) (list [][2]time.Time) {
	day := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	spans, special := h.days[day.Format(time.DateOnly)]
	if !special {
		spans = h.week[day.Weekday()]
	}
	for _, s := range spans {
		from, to := h.instant(day, s.from, false), h.instant(day, s.to, true)
		if from.Before(to) {
			list = append(list, [2]time.Time{from, to})
		}
	}
	return list
}

// instant is when clocks show a time of a day. Where they show it twice, late
// chooses; where they skip it, it is when they do.
func (h *Hours) instant(day time.Time, minutes int, late bool) time.Time {
	shown := day.Add(time.Duration(minutes) * time.Minute) // as if in UTC
	var found []time.Time
	var offsets [2]time.Duration
	for i, around := range []time.Duration{-26 * time.Hour, 26 * time.Hour} {
		_, seconds := shown.Add(around).In(h.zone).Zone()
		offsets[i] = time.Duration(seconds) * time.Second
		at := shown.Add(-offsets[i])
		if _, own := at.In(h.zone).Zone(); own == seconds {
			found = append(found, at)
		}
	}
	if len(found) > 0 {
		if late {
			return slices.MaxFunc(found, time.Time.Compare)
		}
		return slices.MinFunc(found, time.Time.Compare)
	}
	before, after := shown.Add(-max(offsets[0], offsets[1])), shown.Add(-min(offsets[0], offsets[1]))
	_, first := before.In(h.zone).Zone()
	for after.Sub(before) > time.Second {
		middle := before.Add(after.Sub(before) / 2).Truncate(time.Second)
		if !middle.After(before) {
			break
		}
		if _, own := middle.In(h.zone).Zone(); own == first {
			before = middle
		} else {
			after = middle
		}
	}
	return after
}

package desk

import (
	"testing"
	"time"
	_ "time/tzdata" // zones where the machine has none
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// TestHours: when somebody is there and when the next time, with holidays, past
// midnight, and in both nights in which clocks change.
func TestHours(t *testing.T) {
	const night = "Mon-Fri 09:00-18:00; Sat 10:00-12:00,13:00-15:00; Sun 01:30-02:30"
	for _, c := range []struct {
		name, zone, hours, dates, at string // in UTC
		open                         bool
		next                         string
	}{
		{"opens", "Asia/Tokyo", night, "", "2026-03-02T00:00:00Z", true, ""},
		{"a moment before", "Asia/Tokyo", night, "", "2026-03-01T23:59:59Z", false, "2026-03-02T00:00:00Z"},
		{"closes", "Asia/Tokyo", night, "", "2026-03-02T09:00:00Z", false, "2026-03-03T00:00:00Z"},
		{"lunch on Saturday", "UTC", night, "", "2026-03-07T12:30:00Z", false, "2026-03-07T13:00:00Z"},
		{"a holiday", "UTC", night, "2026-12-25", "2026-12-25T12:00:00Z", false, "2026-12-26T10:00:00Z"},
		{"a short day", "UTC", night, "2026-12-31 09:00-12:00", "2026-12-31T12:00:00Z", false, "2027-01-01T09:00:00Z"},
		{"a special Sunday", "UTC", night, "2026-03-08 12:00-13:00", "2026-03-08T12:30:00Z", true, ""},
		{"past midnight", "UTC", "Mon-Fri 22:00-06:00", "", "2026-03-07T05:59:00Z", true, ""},
		{"after the night", "UTC", "Mon-Fri 22:00-06:00", "", "2026-03-07T06:00:00Z", false, "2026-03-09T22:00:00Z"},
		{"all day", "UTC", "Mon-Sun 00:00-24:00", "", "2026-03-07T23:59:59Z", true, ""},
		{"days around the week", "UTC", "Sat-Mon 09:00-10:00", "", "2026-03-03T00:00:00Z", false, "2026-03-07T09:00:00Z"},
		// Berlin skips 02:00 to 03:00 on 29 March 2026 and has it twice on 25 October.
		{"opens in the hour that is skipped", "Europe/Berlin", "Sun 02:30-05:00", "", "2026-03-29T00:00:00Z", false, "2026-03-29T01:00:00Z"},
		{"closes in the hour that is skipped", "Europe/Berlin", "Sun 00:30-02:30", "", "2026-03-29T00:59:59Z", true, ""},
		{"was closed in the hour that is skipped", "Europe/Berlin", "Sun 00:30-02:30", "", "2026-03-29T01:00:00Z", false, "2026-04-04T22:30:00Z"},
		{"opens with the first 02:30 of two", "Europe/Berlin", "Sun 02:30-05:00", "", "2026-10-25T00:30:00Z", true, ""},
		{"closes with the second 02:30 of two", "Europe/Berlin", "Sun 00:30-02:30", "", "2026-10-25T01:29:00Z", true, ""},
		{"closed with it", "Europe/Berlin", "Sun 00:30-02:30", "", "2026-10-25T01:30:00Z", false, "2026-10-31T23:30:00Z"},
		{"the Monday after", "Europe/Berlin", "Mon-Fri 08:00-18:00", "", "2026-03-29T12:00:00Z", false, "2026-03-30T06:00:00Z"},
		{"the Monday before", "Europe/Berlin", "Mon-Fri 08:00-18:00", "", "2026-03-22T12:00:00Z", false, "2026-03-23T07:00:00Z"},
		{"New York in spring", "America/New_York", "Sun 02:30-05:00", "", "2026-03-08T06:00:00Z", false, "2026-03-08T07:00:00Z"},
		{"half an hour of change", "Australia/Lord_Howe", "Sun 02:10-05:00", "", "2026-10-03T15:00:00Z", false, "2026-10-03T15:30:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := ParseHours(c.hours, c.dates, zone(t, c.zone))
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			if got := h.Open(at); got != c.open {
				t.Errorf("open: %v", got)
			}
			if c.next == "" {
				return
			}
			if got, known := h.Next(at); !known || got.UTC().Format(time.RFC3339) != c.next {
				t.Errorf("next: %v %v, want %s", got.UTC(), known, c.next)
			}
		})
	}
	for _, bad := range []struct{ hours, dates string }{
		{"Mon", ""},
		{"Mon-Fry 09:00-18:00", ""},
		{"Mon 9-18", ""},
		{"Mon 25:00-26:00", ""},
		{"Mon-Fri 09:00", ""},
		{"Mon 09:00-18:00", "25.12.2026"},
		{"", "2026-12-25"},
		{"Mon 09:00-18:00", "2026-12-25 noon"},
	} {
		if _, err := ParseHours(bad.hours, bad.dates, time.UTC); err == nil {
			t.Errorf("%q with %q is taken", bad.hours, bad.dates)
		}
	}
	if h, err := ParseHours("", "", time.UTC); err != nil || h != nil || !h.Open(time.Now()) {
		t.Errorf("without hours: %v %v", h, err)
	}
	never, err := ParseHours("Mon-Sun 09:00-10:00", holidays(500), time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	if got, known := never.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); known {
		t.Errorf("open at %v", got)
	}
}

// holidays are so many days from 2025-12-31 on.
func holidays(n int) (list string) {
	for i := range n {
		list += time.Date(2025, 12, 31+i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly) + ";"
	}
	return list
}

func TestSaidTime(t *testing.T) {
	now := time.Date(2026, 3, 6, 20, 0, 0, 0, time.UTC) // a Friday
	for ahead, want := range map[time.Duration]string{
		60 * time.Hour: "Monday 08:00", 7*24*time.Hour - 12*time.Hour: "Friday 13 March 08:00",
	} {
		if got := saidTime(now.Add(ahead), now); got != want {
			t.Errorf("%v: %q, want %q", ahead, got, want)
		}
	}
}

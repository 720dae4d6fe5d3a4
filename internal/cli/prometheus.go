package cli

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/poolrun/poolrun/pool"
)

// The metrics of pools in the text format of Prometheus
// (https://prometheus.io/docs/instrumenting/exposition_formats/). All samples of a metric come
// together, after its HELP and TYPE.

// A metric is one of a pool that has one value.
type metric struct {
	name, kind, help string
	value            func(pool.Status) float64
}

var metrics = []metric{
	{"slots", "gauge", "Slots of the pool.", func(s pool.Status) float64 { return float64(s.Size) }},
	{"slots_in_use", "gauge", "Slots that are held.", func(s pool.Status) float64 { return float64(s.InUse) }},
	{"slots_available", "gauge", "Value of the pool's semaphore.", func(s pool.Status) float64 { return float64(s.Available) }},
	{"waiting", "gauge", "Commands that wait in line.", func(s pool.Status) float64 { return float64(len(s.Waiters)) }},
	{"oldest_waiter_age_seconds", "gauge", "How long the command has waited that waits longest, 0 if none waits.", func(s pool.Status) float64 {
		return ageOfOldest(s, len(s.Waiters), func(i int) time.Time { return s.Waiters[i].Since })
	}},
	{"oldest_holder_age_seconds", "gauge", "How long the slot has been held that is held longest, 0 if none is held.", func(s pool.Status) float64 {
		return ageOfOldest(s, len(s.Holders), func(i int) time.Time { return s.Holders[i].Acquired })
	}},
	{"created_timestamp_seconds", "gauge", "When the pool was created.", func(s pool.Status) float64 { return float64(s.Created.UnixMilli()) / 1000 }},
	{"acquired_total", "counter", "Commands that got their slots.", func(s pool.Status) float64 { return float64(s.Counters.Acquired) }},
	{"released_total", "counter", "Commands that returned their slots.", func(s pool.Status) float64 { return float64(s.Counters.Released) }},
	{"timed_out_total", "counter", "Commands whose wait was too long.", func(s pool.Status) float64 { return float64(s.Counters.TimedOut) }},
	{"busy_total", "counter", "Commands that did not want to wait.", func(s pool.Status) float64 { return float64(s.Counters.Busy) }},
	{"cancelled_total", "counter", "Commands that left the line for another reason.", func(s pool.Status) float64 { return float64(s.Counters.Cancelled) }},
	{"reclaimed_total", "counter", "Holders that ended without returning their slots, which were taken back.", func(s pool.Status) float64 { return float64(s.Counters.Reclaimed) }},
}

// histograms are the metrics that are histograms.
var histograms = []struct {
	name, help string
	times      func(pool.Status) pool.Times
}{
	{"wait_seconds", "How long commands waited that got their slots.", func(s pool.Status) pool.Times { return s.Waits }},
	{"hold_seconds", "How long slots were held.", func(s pool.Status) pool.Times { return s.Holds }},
}

func ageOfOldest(s pool.Status, n int, since func(int) time.Time) (age float64) {
	for i := range n {
		age = max(age, s.Taken.Sub(since(i)).Seconds())
	}
	return age
}

func writeMetrics(out io.Writer, all []pool.Status) error {
	w := bufio.NewWriter(out)
	head := func(name, kind, help string) {
		fmt.Fprintf(w, "# HELP poolrun_%s %s\n# TYPE poolrun_%s %s\n", name, help, name, kind)
	}
	sample := func(name string, s pool.Status, label string, value float64) {
		fmt.Fprintf(w, "poolrun_%s{pool=\"%s\"%s} %s\n", name, escapeLabel(s.Name), label, formatFloat(value))
	}
	for _, m := range metrics {
		head(m.name, m.kind, m.help)
		for _, s := range all {
			sample(m.name, s, "", m.value(s))
		}
	}
	for _, h := range histograms {
		head(h.name, "histogram", h.help)
		for _, s := range all {
			times := h.times(s)
			for _, b := range times.Buckets {
				sample(h.name+"_bucket", s, fmt.Sprintf(",le=%q", formatFloat(b.Limit.Seconds())), float64(b.Count))
			}
			sample(h.name+"_bucket", s, `,le="+Inf"`, float64(times.Count))
			sample(h.name+"_sum", s, "", times.Sum.Seconds())
			sample(h.name+"_count", s, "", float64(times.Count))
		}
	}
	return w.Flush()
}

// escapeLabel escapes the value of a label, which has to be UTF-8.
func escapeLabel(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(text, "\ufffd"))
}

func formatFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

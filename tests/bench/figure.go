package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// A figure is one row of the table. Without a value it says that a tool cannot do something.
type figure struct {
	Section string  `json:"section"`
	Name    string  `json:"name"`
	Tool    string  `json:"tool,omitempty"`
	Line    int     `json:"line,omitempty"` // how many wait, or hold slots
	Unit    string  `json:"unit,omitempty"`
	Value   spread  `json:"value"`
	Ratio   *spread `json:"ratio,omitempty"` // to the variant that Against names
	Against string  `json:"against,omitempty"`
	Goal    *goal   `json:"goal,omitempty"`
}

// A goal is a limit for the median of the ratio, or of the value if there is no ratio.
type goal struct {
	Sense string  `json:"sense"` // "<=" or ">="
	Limit float64 `json:"limit"`
	Met   bool    `json:"met"`
}

func atMost(limit float64) *goal  { return &goal{Sense: "<=", Limit: limit} }
func atLeast(limit float64) *goal { return &goal{Sense: ">=", Limit: limit} }

// judge compares the figure with a goal, which may be nil.
func (f *figure) judge(g *goal) {
	if g == nil {
		return
	}
	median := f.Value.Median
	if f.Ratio != nil {
		median = f.Ratio.Median
	}
	g.Met = median == g.Limit || (median < g.Limit) == (g.Sense == "<=")
	f.Goal = g
}

func (f figure) judged(g *goal) figure {
	f.judge(g)
	return f
}

// against sets the ratio to another variant, from values of the same rounds.
func (f *figure) against(name string, values, base []float64) {
	ratio := spreadOf(ratios(values, base))
	f.Ratio, f.Against = &ratio, name
}

func (g *goal) String() string {
	switch {
	case g == nil:
		return ""
	case g.Met:
		return fmt.Sprintf("%s %v: met", g.Sense, g.Limit)
	default:
		return fmt.Sprintf("%s %v: MISSED", g.Sense, g.Limit)
	}
}

// A spread is the median, the quartiles and the maximum of some values.
type spread struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Max    float64 `json:"max"`
	N      int     `json:"n"`
}

func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	at := func(q float64) float64 { return sorted[int(q*float64(len(sorted)-1)+0.5)] }
	return spread{at(0.5), at(0.25), at(0.75), at(1), len(sorted)}
}

func ratios(values, base []float64) []float64 {
	list := make([]float64, len(values))
	for i := range values {
		list[i] = values[i] / base[i]
	}
	return list
}

func (b *bench) add(f figure) { b.figures = append(b.figures, f) }

// print shows the figures of the section that has just been measured.
func (b *bench) print(section string) {
	fmt.Printf("\n%s\n", section)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for i := range b.figures {
		f := &b.figures[i]
		if f.Section != "" {
			continue
		}
		f.Section = section
		value := fmt.Sprintf("%s %s\t(%s to %s)", number(f.Value.Median), f.Unit, number(f.Value.Low), number(f.Value.High))
		switch f.Value.N {
		case 0:
			value = "\t"
		case 1:
			value = fmt.Sprintf("%s %s\t", number(f.Value.Median), f.Unit)
		}
		ratio := "\t"
		if f.Ratio != nil {
			ratio = fmt.Sprintf("%s x %s\t(%s to %s)", number(f.Ratio.Median), f.Against, number(f.Ratio.Low), number(f.Ratio.High))
			if f.Ratio.N == 1 {
				ratio = fmt.Sprintf("%s x %s\t", number(f.Ratio.Median), f.Against)
			}
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\t%v\n", f.Name, value, ratio, f.Goal)
	}
	table.Flush()
}

func number(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// appendJSON appends the figures of a section to a file, and forgets them.
func (b *bench) appendJSON(path string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	out := json.NewEncoder(file)
	now, where := time.Now().UTC().Truncate(time.Second), machine()
	for _, f := range b.figures {
		err = cmp.Or(err, out.Encode(struct {
			Time    time.Time `json:"time"`
			Machine string    `json:"machine"`
			figure
		}{now, where, f}))
	}
	b.figures = nil
	return err
}

// machine describes the machine and the tools.
func machine() string {
	var name unix.Utsname
	unix.Uname(&name)
	lines := func(command ...string) string {
		out, _ := exec.Command(command[0], command[1:]...).Output()
		first, _, _ := strings.Cut(string(out), "\n")
		return first
	}
	text := fmt.Sprintf("%d CPUs, Linux %s, %s, %s", runtime.NumCPU(),
		unix.ByteSliceToString(name.Release[:]), runtime.Version(), lines("flock", "--version"))
	if sem := lines("sem", "--version"); sem != "" {
		text += ", " + sem
	}
	return text
}

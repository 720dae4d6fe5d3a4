package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// plot draws two figures of the last benchmark in a file as SVG: the whole run by tool, and the
// hand-over by length of line.
func plot(jsonFile, dir string) error {
	figures, err := readFigures(jsonFile)
	if err != nil {
		return err
	}
	for name, draw := range map[string]func([]figure) string{"whole-run.svg": plotWholeRun, "hand-over.svg": plotHandOver} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(draw(figures)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readFigures reads the figures of a file, of several of one name the last.
func readFigures(jsonFile string) (figures []figure, err error) {
	file, err := os.Open(jsonFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var f figure
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			return nil, err
		}
		figures = slices.DeleteFunc(figures, func(old figure) bool {
			return old.Section == f.Section && old.Name == f.Name && old.Against == f.Against
		})
		figures = append(figures, f)
	}
	return figures, nil
}

const (
	width, left, top = 640, 130, 44
	barHeight, gap   = 20, 8
	own, rival       = "#1f6feb", "#8b949e"
)

// plotWholeRun draws a bar for each tool, on a logarithmic scale.
func plotWholeRun(figures []figure) string {
	var bars []figure
	for _, f := range figures {
		if f.Section == "start-up" && f.Tool != "" && strings.HasPrefix(f.Name, "wall: ") {
			bars = append(bars, f)
		}
	}
	slices.SortFunc(bars, func(a, b figure) int { return int(math.Copysign(1, a.Value.Median-b.Value.Median)) })
	var s svg
	s.begin(top+len(bars)*(barHeight+gap)+20, "A whole run of true(1), in milliseconds (logarithmic scale)")
	const smallest = 1.0
	largest := 10.0
	for _, f := range bars {
		largest = max(largest, f.Value.Median)
	}
	scale := float64(width-left-80) / math.Log10(largest/smallest)
	for i, f := range bars {
		y := top + i*(barHeight+gap)
		color := rival
		if f.Tool == "poolrun" {
			color = own
		}
		length := max(2, scale*math.Log10(f.Value.Median/smallest))
		s.text(left-8, y+15, "end", f.Tool)
		s.add(`<rect x="%d" y="%d" width="%.0f" height="%d" fill="%s"/>`, left, y, length, barHeight, color)
		s.text(left+int(length)+6, y+15, "start", number(f.Value.Median))
	}
	return s.end()
}

// plotHandOver draws a line for each tool that was measured with several lengths.
func plotHandOver(figures []figure) string {
	lines := map[string][]figure{}
	var names []string
	longest, highest := 0, 0.0
	for _, f := range figures {
		if f.Section != "hand-over" || f.Value.N < 2 && f.Line != 500 {
			continue
		}
		if lines[f.Tool] == nil {
			names = append(names, f.Tool)
		}
		lines[f.Tool] = append(lines[f.Tool], f)
		longest, highest = max(longest, f.Line), max(highest, f.Value.High)
	}
	const height, bottom, right = 360, 40, 120
	var s svg
	s.begin(height, "Hand-over, in milliseconds each, by length of the line")
	x := func(line int) float64 { return 50 + float64(width-50-right)*float64(line)/float64(max(longest, 1)) }
	y := func(v float64) float64 { return height - bottom - float64(height-bottom-top)*v/highest }
	for v := 0.0; v <= highest; v += math.Ceil(highest / 5) {
		s.add(`<line x1="50" x2="%d" y1="%.0f" y2="%.0f" stroke="#d0d7de"/>`, width-right, y(v), y(v))
		s.text(44, int(y(v))+4, "end", fmt.Sprint(v))
	}
	labels := map[int]bool{}
	ends := []float64{}
	for _, name := range names {
		color := rival
		if name == "poolrun" {
			color = own
		}
		var points strings.Builder
		list := lines[name]
		slices.SortFunc(list, func(a, b figure) int { return a.Line - b.Line })
		for _, f := range list {
			fmt.Fprintf(&points, "%.0f,%.0f ", x(f.Line), y(f.Value.Median))
			if !labels[f.Line] {
				labels[f.Line] = true
				s.text(int(x(f.Line)), height-bottom+18, "middle", fmt.Sprint(f.Line))
			}
		}
		s.add(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`, points.String(), color)
		at := y(list[len(list)-1].Value.Median)
		for slices.ContainsFunc(ends, func(other float64) bool { return math.Abs(other-at) < 14 }) {
			at += 3
		}
		ends = append(ends, at)
		s.text(width-right+8, int(at)+4, "start", name)
	}
	return s.end()
}

// An svg is a picture in the making.
type svg struct{ strings.Builder }

func (s *svg) begin(height int, title string) {
	s.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`, width, height)
	s.add(`<rect width="%d" height="%d" fill="white"/>`, width, height)
	s.add(`<text x="10" y="24" font-size="15" fill="#24292f">%s</text>`, title)
}

func (s *svg) text(x, y int, anchor, text string) {
	s.add(`<text x="%d" y="%d" text-anchor="%s" fill="#24292f">%s</text>`, x, y, anchor, text)
}

func (s *svg) add(format string, args ...any) { fmt.Fprintf(s, format+"\n", args...) }

func (s *svg) end() string {
	s.add("</svg>")
	return s.String()
}

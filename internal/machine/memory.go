package machine

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
)

// AvailableMemory is how many bytes of memory a process can use without making others swap: the
// kernel's estimate for the machine (MemAvailable in proc_meminfo(5)), or less if a control group of
// this process has less left.
func AvailableMemory() (uint64, error) { return availableMemory("") }

// availableMemory reads the files below a root, which is "" except in tests.
func availableMemory(root string) (uint64, error) {
	const meminfo = "/proc/meminfo"
	kilobytes, err := readField(root+meminfo, "MemAvailable:")
	if err != nil {
		return 0, err
	}
	least := kilobytes << 10
	for _, group := range memoryGroups(root) {
		least = min(least, group.left())
	}
	return least, nil
}

// A memoryGroup is the directory of a control group with a memory controller.
type memoryGroup struct {
	dir string
	controller
}

// A controller names the files of a memory controller.
type controller struct {
	limits []string // of which the lowest counts
	usage  string
	cache  string // the line of memory.stat for page cache that is given up first
}

// cgroup v2 is described in admin-guide/cgroup-v2.rst of the kernel's documentation, and v1 in
// admin-guide/cgroup-v1/memory.rst.
var controllers = map[string]controller{
	"cgroup2": {[]string{"memory.max", "memory.high"}, "memory.current", "inactive_file"},
	"cgroup":  {[]string{"memory.limit_in_bytes"}, "memory.usage_in_bytes", "total_inactive_file"},
}

// left is how much memory the group may still use. A group without a limit has no such file, "max", or
// a number that no machine has.
func (g memoryGroup) left() uint64 {
	limit := uint64(math.MaxUint64)
	for _, file := range g.limits {
		if n, err := readNumber(path.Join(g.dir, file)); err == nil {
			limit = min(limit, n)
		}
	}
	used, err := readNumber(path.Join(g.dir, g.usage))
	if limit == math.MaxUint64 || err != nil {
		return math.MaxUint64
	}
	cache, _ := readField(path.Join(g.dir, "memory.stat"), g.cache)
	used -= min(cache, used)
	return limit - min(used, limit)
}

// memoryGroups lists the control groups of this process and their ancestors, as far as they are
// mounted (cgroups(7)).
func memoryGroups(root string) (groups []memoryGroup) {
	own, err := os.ReadFile(root + "/proc/self/cgroup")
	if err != nil {
		return nil
	}
	mounts, err := os.ReadFile(root + "/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(own)) {
		// hierarchy-ID:controller-list:path
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) < 3 {
			continue
		}
		kind := "cgroup"
		if fields[1] == "" {
			kind = "cgroup2"
		} else if !hasElement(fields[1], "memory") {
			continue
		}
		for _, m := range cgroupMounts(string(mounts), kind) {
			// A path outside of what is mounted is that of another cgroup namespace.
			below, isBelow := strings.CutPrefix(fields[2]+"/", strings.TrimSuffix(m.root, "/")+"/")
			if !isBelow || strings.HasPrefix(below, "../") {
				below = ""
			}
			for dir := path.Join("/", below); ; dir = path.Dir(dir) {
				groups = append(groups, memoryGroup{path.Join(root+m.point, dir), controllers[kind]})
				if dir == "/" {
					break
				}
			}
		}
	}
	return groups
}

// A cgroupMount is a mount of a hierarchy: root is the group that is seen at point.
type cgroupMount struct{ root, point string }

// cgroupMounts picks the mounts of a kind of hierarchy with memory out of proc_pid_mountinfo(5). Its
// lines are like
//
//	34 30 0:31 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
func cgroupMounts(mountinfo, kind string) (mounts []cgroupMount) {
	for line := range strings.Lines(mountinfo) {
		mount, super, _ := strings.Cut(line, " - ")
		fields, superFields := strings.Fields(mount), strings.Fields(super)
		if len(fields) < 5 || len(superFields) < 3 || superFields[0] != kind ||
			kind == "cgroup" && !hasElement(superFields[2], "memory") {
			continue
		}
		mounts = append(mounts, cgroupMount{unescape(fields[3]), unescape(fields[4])})
	}
	return mounts
}

// unescape undoes the escapes of mountinfo for characters that would separate fields.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace

// hasElement reports whether a list that is separated by commas has an element.
func hasElement(list, element string) bool {
	for text := range strings.SplitSeq(list, ",") {
		if text == element {
			return true
		}
	}
	return false
}

func readNumber(file string) (uint64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}

// readField reads the number after a name at the beginning of a line.
func readField(file, name string) (uint64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) >= 2 && fields[0] == name {
			return strconv.ParseUint(fields[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no line %s", file, name)
}

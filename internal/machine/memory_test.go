package machine

import (
	"os"
	"path/filepath"
	"testing"
)

// The limit that leaves the least counts: of the machine, or of a control group of either version, at
// any level that is mounted.
func TestTheLeastOfAllLimitsCounts(t *testing.T) {
	const megabyte = 1 << 20
	for name, test := range map[string]struct {
		files map[string]string
		want  uint64
	}{
		"no control groups": {nil, 1000 * megabyte},
		"a limit of v2": {map[string]string{
			"proc/self/cgroup":                      "0::/user/job\n",
			"proc/self/mountinfo":                   "1 2 0:1 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n",
			"sys/fs/cgroup/user/job/memory.max":     "max\n",
			"sys/fs/cgroup/user/job/memory.current": "104857600\n",
			"sys/fs/cgroup/user/memory.max":         "314572800\n",
			"sys/fs/cgroup/user/memory.current":     "209715200\n",
			"sys/fs/cgroup/user/memory.stat":        "anon 1\ninactive_file 52428800\n",
		}, 150 * megabyte},
		"memory.high of v2": {map[string]string{
			"proc/self/cgroup":                 "0::/job\n",
			"proc/self/mountinfo":              "1 2 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
			"sys/fs/cgroup/job/memory.max":     "314572800\n",
			"sys/fs/cgroup/job/memory.high":    "209715200\n",
			"sys/fs/cgroup/job/memory.current": "104857600\n",
		}, 100 * megabyte},
		"a limit of v1, in a container": {map[string]string{
			"proc/self/cgroup":    "5:cpu,cpuacct:/docker/x\n4:hugetlb,memory:/docker/x/job\n0::/other\n",
			"proc/self/mountinfo": "1 2 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n1 2 0:1 /docker/x /sys/fs/cgroup/my\\040memory rw - cgroup cgroup rw,hugetlb,memory\n",
			"sys/fs/cgroup/my memory/job/memory.limit_in_bytes": "314572800\n",
			"sys/fs/cgroup/my memory/job/memory.usage_in_bytes": "209715200\n",
			"sys/fs/cgroup/my memory/memory.limit_in_bytes":     "9223372036854771712\n",
			"sys/fs/cgroup/my memory/memory.usage_in_bytes":     "209715200\n",
		}, 100 * megabyte},
		"a group that is not mounted": {map[string]string{
			"proc/self/cgroup":             "0::/../../job\n",
			"proc/self/mountinfo":          "1 2 0:1 /outer /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
			"sys/fs/cgroup/memory.max":     "314572800\n",
			"sys/fs/cgroup/memory.current": "104857600\n",
		}, 200 * megabyte},
		"more in use than allowed": {map[string]string{
			"proc/self/cgroup":             "0::/\n",
			"proc/self/mountinfo":          "1 2 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
			"sys/fs/cgroup/memory.max":     "1000\n",
			"sys/fs/cgroup/memory.current": "2000\n",
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write := func(path, text string) {
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			write("proc/meminfo", "MemTotal: 9000000 kB\nMemAvailable:    1024000 kB\n")
			for path, text := range test.files {
				write(path, text)
			}
			if got, err := availableMemory(root); got != test.want || err != nil {
				t.Errorf("%d instead of %d: %v", got, test.want, err)
			}
		})
	}
}

func TestThisMachineHasMemoryAndALoad(t *testing.T) {
	if n, err := AvailableMemory(); n == 0 || err != nil {
		t.Error(n, err)
	}
	if load, err := Load(); load < 0 || err != nil {
		t.Error(load, err)
	}
}

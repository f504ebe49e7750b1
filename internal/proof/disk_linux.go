package proof

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// volumeOf finds the mount that a folder lies on: the one with the longest path in front of it, the last one if there are
// several.
func volumeOf(dir string) (Volume, error) {
	var v Volume
	var space unix.Statfs_t
	if err := unix.Statfs(dir, &space); err != nil {
		return v, err
	}
	v.Free = uint64(max(0, int64(space.Bavail))) * uint64(space.Bsize)
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return v, err
	}
	for line := range strings.SplitSeq(string(table), "\n") {
		// 36 35 98:0 /root /mount options … - type device options-of-the-file-system
		mount, system, ok := strings.Cut(line, " - ")
		a, b := strings.Fields(mount), strings.Fields(system)
		if !ok || len(a) < 6 || len(b) < 3 {
			continue
		}
		at := unescapeMount(a[4])
		if len(at) < len(v.Mount) || dir != at && !strings.HasPrefix(dir, strings.TrimSuffix(at, "/")+"/") {
			continue
		}
		v.Type, v.Mount, v.Device = b[0], at, unescapeMount(b[1])
		v.Options = append(strings.Split(a[5], ","), strings.Split(b[2], ",")...)
	}
	if v.Type == "" {
		return v, fmt.Errorf("no mount of %s is listed", dir)
	}
	v.Options = unique(v.Options)
	return v, nil
}

var mountEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func unescapeMount(s string) string { return mountEscapes.Replace(s) }

func unique(list []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// clockIsSet says whether the kernel believes that something keeps its clock set.
func clockIsSet() (set, tells bool) {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return false, false
	}
	return t.Status&unix.STA_UNSYNC == 0, true
}

// BootID tells two starts of this machine apart; "" when the system does not tell.
func BootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

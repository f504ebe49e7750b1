package api

import "testing"

func TestWhichClientsRefuseAdditions(t *testing.T) {
	for agent, want := range map[string]bool{
		"svix-libs/1.44.0/go":                       true,
		"svix-libs/1.56.9/go":                       true,
		"svix-libs/1.57.0/go":                       false,
		"svix-libs/2.0.0/go":                        false,
		"svix-libs/0.85.1/go":                       true,
		"svix-libs/1.72.1/java":                     true,
		"svix-libs/1.73.0/java":                     false,
		"svix-libs/1.60.1/kotlin":                   true,
		"svix-libs/1.44.0/javascript":               false,
		"svix-libs/1.60.0/java okhttp":              true,
		"svix-libs/2.5.0/javascript node/v20 linux": false,
		"svix-libs/1.44.0/python":                   false,
		"svix-libs/1.44.0":                          false,
		"svix-libs//go":                             false,
		"svix-libs/x.y/go":                          false,
		"svix-libs/1/go":                            false,
		"curl/8.0 svix-libs/1.44.0/go":              false,
		"":                                          false,
	} {
		if got := refusesAdditions(agent); got != want {
			t.Errorf("%q: %v", agent, got)
		}
	}
}

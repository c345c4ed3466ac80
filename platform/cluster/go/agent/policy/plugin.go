// Package policy makes NetworkPolicies hold for the pods of one node, by nftables.
package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// Announcement says which address a new pod has.
type Announcement struct {
	Namespace string
	Name      string
	UID       string
	IP        string
}

// pluginConfig is what containerd passes to a CNI plug-in of a chain on its standard input.
type pluginConfig struct {
	CNIVersion string          `json:"cniVersion"`
	Socket     string          `json:"socket"`
	PrevResult json.RawMessage `json:"prevResult"`
}

type pluginResult struct {
	IPs []struct {
		Address string `json:"address"`
	} `json:"ips"`
}

// Plugin is the CNI plug-in: on ADD it returns once the new pod's rules are in place.
func Plugin(stdin io.Reader, stdout io.Writer) int {
	var config pluginConfig
	if err := json.NewDecoder(stdin).Decode(&config); err != nil {
		return refuse(stdout, "", fmt.Errorf("reading the configuration: %w", err))
	}
	switch os.Getenv("CNI_COMMAND") {
	case "VERSION":
		fmt.Fprintln(stdout, `{"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}`)
	case "ADD":
		if err := announce(config); err != nil {
			return refuse(stdout, config.CNIVersion, err)
		}
		_, _ = stdout.Write(config.PrevResult)
	}
	return 0
}

func announce(config pluginConfig) error {
	var result pluginResult
	if err := json.Unmarshal(config.PrevResult, &result); err != nil {
		return fmt.Errorf("reading the previous plug-in's result: %w", err)
	}
	if len(result.IPs) == 0 {
		return fmt.Errorf("the previous plug-in gave no address")
	}
	ip, _, err := net.ParseCIDR(result.IPs[0].Address)
	if err != nil {
		return err
	}
	arguments := map[string]string{}
	for _, pair := range strings.Split(os.Getenv("CNI_ARGS"), ";") {
		name, value, _ := strings.Cut(pair, "=")
		arguments[name] = value
	}
	body, err := json.Marshal(Announcement{
		Namespace: arguments["K8S_POD_NAMESPACE"],
		Name:      arguments["K8S_POD_NAME"],
		UID:       arguments["K8S_POD_UID"],
		IP:        ip.String(),
	})
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", config.Socket)
	}}}
	response, err := client.Post("http://agent/pods", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		return fmt.Errorf("the agent answered %s: %s", response.Status, text)
	}
	return nil
}

func refuse(stdout io.Writer, version string, err error) int {
	// 11: try again later, in the CNI specification's words.
	_ = json.NewEncoder(stdout).Encode(map[string]any{"cniVersion": version, "code": 11, "msg": err.Error()})
	return 1
}

// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"net/url"
	"os"
	"regexp"
	"strings"
)

// redacted takes the place of a secret.
const redacted = "REDACTED"

var (
	// urlPattern finds URLs in an error's text. Their user information and
	// their query (where signatures are) are of no use to a reader.
	urlPattern = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)([^/\s"'@]*@)?([^\s"'?]*)(\?[^\s"']*)?`)
	// pairPattern finds "key: value" and "key=value" of things that SDKs call secrets.
	pairPattern = regexp.MustCompile(`(?i)((?:authorization|signature|credential|secret|accountkey|sharedaccesssignature|password|passwd|token|x-amz-security-token|sig|private_key)["']?\s*[=:]\s*)("[^"]*"|'[^']*'|(?:Bearer |Basic |AWS4-HMAC-SHA256 )?[^\s,&"']+)`)
	// keyIDPattern finds AWS access key ids, which begin with four fixed letters.
	keyIDPattern = regexp.MustCompile(`\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b`)
)

// secretVariables are what the SDKs read secrets from.
var secretVariables = []string{
	"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID",
	"AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGEBLOB_CONNECTIONSTRING",
	"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD",
}

// redact removes from text what could be a secret, and makes it one line.
func redact(text string) string {
	for _, name := range secretVariables {
		if secret := os.Getenv(name); len(secret) >= 6 {
			text = strings.ReplaceAll(text, secret, redacted)
		}
	}
	text = urlPattern.ReplaceAllString(text, "$1$3")
	text = keyIDPattern.ReplaceAllString(text, redacted)
	text = pairPattern.ReplaceAllString(text, "${1}"+redacted)
	return strings.Join(strings.Fields(text), " ")
}

// publicURL returns u without user information, and with those parameters only
// that say where the store is.
func publicURL(u *url.URL) string {
	out := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	q := url.Values{}
	for _, name := range []string{"prefix", "region", "endpoint", "storage_account", "domain"} {
		v := u.Query().Get(name)
		if v == "" {
			continue
		}
		if e, err := url.Parse(v); name == "endpoint" && err == nil {
			v = (&url.URL{Scheme: e.Scheme, Host: e.Host, Path: e.Path}).String()
		}
		q.Set(name, v)
	}
	out.RawQuery = q.Encode()
	return out.String()
}

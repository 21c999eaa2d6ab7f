{{/* A changed setting changes the map's name, and so rolls the pods, as kustomize does it. */}}
{{ define "tallygate.settings" -}}
tallygate-settings-{{ .Values.settings | toJson | sha256sum | trunc 10 }}
{{- end }}

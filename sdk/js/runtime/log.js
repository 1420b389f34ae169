// The log of a plugin is the host's.
export { message } from 'toolbay:plugin/log@0.1.0';
